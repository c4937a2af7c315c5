import type { Mutation } from './mutation.ts';

const EVALUATION = 'test/audit/alerts.test.ts';
const SETTINGS = 'test/store/alertSettings.test.ts';
const NODE_ALERTS = 'test/node/alerts.test.ts';
const TOKENS = 'test/store/access.test.ts';
const TOKEN_USES = 'test/node/tokenUses.test.ts';
const PAYLOAD = 'test/node/entryPayload.test.ts';
const FILE_SINK = 'test/audit/sink/fileSink.test.ts';
const HTTP_SINK = 'test/audit/sink/httpSink.test.ts';
const SINK = 'test/node/auditSink.test.ts';

/** What is found in the audit, and where it is sent: nothing is missed, told twice, or lost on its way. */
export const ALERTS: readonly Mutation[] = [
  {
    name: 'alerts are noted from whichever cursor',
    protects: 'I56',
    file: 'src/store/auditRules.ts',
    find: 'if (before?.evaluated !== evaluated || before.delivered !== delivered)',
    replace: 'if (evaluated < 0 || delivered < 0)',
    noticedBy: [SETTINGS],
  },
  {
    name: 'alerts are noted beyond the last record',
    protects: 'I56',
    file: 'src/store/auditRules.ts',
    find: 'if (!after || after.evaluated > sequence || after.delivered > sequence)',
    replace: 'if (!after)',
    noticedBy: [SETTINGS],
  },
  {
    name: 'a new leader does not know which alerts were given',
    protects: 'I56',
    file: 'src/node/alerts.ts',
    find: 'if (record.action === ALERT_ACTION) evaluation.know(record);',
    replace: 'if (record.action === ALERT_ACTION) void evaluation;',
    noticedBy: [NODE_ALERTS],
  },
  {
    name: 'records that were judged are judged again',
    protects: 'I56',
    file: 'src/node/alerts.ts',
    find: 'course.evaluation.take(record, record.sequence <= evaluated)',
    replace: 'course.evaluation.take(record, evaluated < 0)',
    noticedBy: [NODE_ALERTS],
  },
  {
    name: 'an alert that was refused is not looked for again',
    protects: 'I56',
    file: 'src/node/alerts.ts',
    find: 'if (this.#course === course) this.#course = null;',
    replace: 'course.found = [];',
    noticedBy: [NODE_ALERTS],
  },
  {
    name: 'who does not lead finds alerts',
    protects: 'I56',
    file: 'src/node/alerts.ts',
    find: 'const isAsked = leadership.isLeader && ',
    replace: 'const isAsked = leadership.isLeader !== undefined && ',
    noticedBy: [NODE_ALERTS],
  },
  {
    name: 'an alert counts as delivered while it waits',
    protects: 'alerts',
    file: 'src/node/alerts.ts',
    find: 'if (first !== undefined) return Math.max(cursor.delivered, first.sequence - 1);',
    replace: 'if (first !== undefined) return Math.max(cursor.delivered, first.sequence);',
    noticedBy: [NODE_ALERTS],
  },
  {
    name: 'a redirect counts as delivered',
    protects: 'alerts',
    file: 'src/audit/alerts/webhook.ts',
    find: 'if (status < 200 || status > 299)',
    replace: 'if (status < 200 || status > 399)',
    noticedBy: [NODE_ALERTS],
  },
  {
    name: 'a webhook at another address gets the secret of the one before',
    protects: 'alerts',
    file: 'src/store/auditRules.ts',
    find: 'webhook.secret.length === 0 && present?.url === webhook.url ?',
    replace: 'webhook.secret.length === 0 && present ?',
    noticedBy: [SETTINGS],
  },
  {
    name: 'the secret of a webhook is readable in the log with encryption off',
    protects: 'alerts',
    file: 'src/node/entryPayload.ts',
    find: 'login, resetAdmin, setAlerts].some(Boolean)',
    replace: 'login, resetAdmin].some(Boolean) && setAlerts !== null',
    noticedBy: [PAYLOAD],
  },
  {
    name: 'the secret of a webhook is readable on disk with encryption off',
    protects: 'alerts',
    file: 'src/store/rowCodecs.ts',
    find: "e: sealing(auditSettingsRowCodec, 'trust'),",
    replace: 'e: sealing(auditSettingsRowCodec),',
    noticedBy: [SETTINGS],
  },
  {
    name: 'what is long ago still counts',
    protects: 'alerts',
    file: 'src/audit/alerts/slidingCount.ts',
    find: 'timeMs > oldest && ',
    replace: '',
    noticedBy: [EVALUATION],
  },
  {
    name: 'one who reads often counts as many',
    protects: 'alerts',
    file: 'src/audit/alerts/slidingCount.ts',
    find: ' && what !== seen.what',
    replace: '',
    noticedBy: [EVALUATION],
  },
  {
    name: 'hours are those of UTC everywhere',
    protects: 'alerts',
    file: 'src/audit/alerts/officeHours.ts',
    find: '{ ...form, timeZone }',
    replace: "{ ...form, timeZone: timeZone === '' ? timeZone : 'UTC' }",
    noticedBy: [EVALUATION],
  },
  {
    name: 'that a token is used from elsewhere is not recorded',
    protects: 'token use',
    file: 'src/store/access.ts',
    find: "return token.lastUsedMs === 0 ? 'first' : 'another';",
    replace: "return token.lastUsedMs === 0 ? 'first' : null;",
    noticedBy: [TOKENS],
  },
  {
    name: 'each use of a token is an entry',
    protects: 'token use',
    file: 'src/node/tokenUses.ts',
    find: 'if (isKnown && nowMs() < token.lastUsedMs + LIMITS.tokenUseNotedMs) return;',
    replace: '',
    noticedBy: [TOKEN_USES],
  },
  {
    name: 'a torn line stays in the file of a sink',
    protects: 'sink',
    file: 'src/audit/sink/fileSink.ts',
    find: 'if (wholeBytes < bytes) await this.#cut(handle, { bytes, wholeBytes });',
    replace: '',
    noticedBy: [FILE_SINK],
  },
  {
    name: 'the file of a sink is not brought to disk',
    protects: 'sink',
    file: 'src/audit/sink/fileSink.ts',
    find: '    await file.handle.writeFile(bytes);\n    await this.#sync(file.handle);\n',
    replace: '    await file.handle.writeFile(bytes);\n',
    noticedBy: [FILE_SINK],
  },
  {
    name: 'a redirect counts as an answer to a sink',
    protects: 'sink',
    file: 'src/audit/sink/httpSink.ts',
    find: 'if (status >= 200 && status < 300) return;',
    replace: 'if (status >= 200 && status < 400) return;',
    noticedBy: [HTTP_SINK],
  },
  {
    name: 'the cursor of a sink moves before it has delivered',
    protects: 'sink',
    file: 'src/node/auditSink.ts',
    find: '    await this.#parts.sink.deliver(batch);\n    this.#worked();\n',
    replace: '    this.#parts.sink.deliver(batch).catch(() => undefined);\n    this.#worked();\n',
    noticedBy: [SINK],
  },
  {
    name: 'what a sink has missed is not counted',
    protects: 'sink',
    file: 'src/node/auditSink.ts',
    find: 'lost: lost + missing }',
    replace: 'lost }',
    noticedBy: [SINK],
  },
];
