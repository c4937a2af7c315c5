import { createHmac } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { webhookDelivery } from '../../src/audit/alerts/webhook.ts';
import { isAlert } from '../../src/audit/record/actions.ts';
import { ManualClock, systemClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { systemScheduler } from '../../src/base/scheduler.ts';
import { Alerts, type AlertsParts } from '../../src/node/alerts.ts';
import type { Submission } from '../../src/node/submit.ts';
import type { AlertRule, AlertSettings } from '../../src/proto/audit.ts';
import { RECORD } from '../api/fakeAudit.ts';
import { codeOf, command, NODE, StoreRig } from '../store/storeRig.ts';
import { until } from './until.ts';
import { type Received, sequencesOf, WebhookReceiver } from './webhookReceiver.ts';

const DENIALS: AlertRule = {
  name: 'guessing',
  kind: 'denials',
  resource: '',
  fromMinute: 0,
  toMinute: 0,
  days: 0,
  timeZone: '',
  by: 'principal',
  count: 3,
  withinMs: 60_000,
};
const deliver = webhookDelivery({ clusterId: 'c1', clock: systemClock });
const SECRET = Buffer.from('0123456789abcdef');

let rig: StoreRig;
let clock: ManualClock;
let webhook: WebhookReceiver | undefined;
/** Alerts that the webhook has taken. */
let taken: number;
/** What submits do beside being applied. */
let submitted: Submission[];
let warned: string[];
/** What it takes to read a thousand. */
let portionMs: number;
/** How often others had their turn. */
let polls: number;
let onSubmit: (submission: Submission) => 'apply' | 'lose' | 'refuse';
/** Until what was submitted is applied. */
let inLog: () => Promise<unknown>;
beforeEach(async () => {
  rig = await StoreRig.create();
  clock = new ManualClock();
  submitted = [];
  warned = [];
  taken = 0;
  portionMs = 0;
  polls = 0;
  onSubmit = () => 'apply';
  inLog = () => Promise.resolve();
});
afterEach(async () => {
  webhook?.close();
  webhook = undefined;
  await rig.destroy();
});

/** Gives out a thousand records at a time. */
const slowStore = (): AlertsParts['store'] => ({
  get audit() {
    return rig.store.audit;
  },
  missing: null,
  flushed: () => rig.store.flushed(),
  async *auditRecords(from) {
    for await (const portion of rig.store.auditRecords(from)) {
      for (let at = 0; at < portion.length; at += 1_000) {
        clock.advance(portionMs);
        yield portion.slice(at, at + 1_000);
      }
    }
  },
});

const leader = (leadership = { isLeader: true }) =>
  new Alerts({
    nodeId: NODE.name,
    store: slowStore(),
    leadership,
    submit: {
      submit: (submission) => {
        submitted.push(submission);
        const what = onSubmit(submission);
        if (what === 'refuse') return Promise.reject(new HoldfastError('OVERLOADED', 'not now'));
        const [outcome] = rig.apply(command(submission, NODE));
        if (outcome === undefined || what === 'lose')
          return Promise.reject(new HoldfastError('OUTCOME_UNKNOWN', 'the leader is gone'));
        return inLog().then(() => outcome);
      },
    },
    delivery: async (...given) => {
      await deliver(...given);
      taken += 1;
    },
    clock,
    scheduler: {
      ...systemScheduler,
      afterPoll: (run) => {
        polls += 1;
        systemScheduler.afterPoll(run);
      },
    },
    logger: { ...silentLogger, warn: (_fields, line) => warned.push(line) },
  });

const setRules = (settings: Partial<AlertSettings>) => {
  const outcomes = rig.apply(
    command({ setAlerts: { settings: { rules: [DENIALS], webhook: null, ...settings } } }),
  );
  expect(outcomes.map(codeOf)).toEqual(['none']);
};

/** So many denials of one. */
const deny = (principal: string, count = 1) => {
  const record = {
    ...RECORD,
    principal,
    action: 'kv.read',
    result: 'PERMISSION_DENIED',
    requestId: '',
    count,
  };
  expect(rig.apply(command({ noteAudit: { records: [record] } }, NODE)).map(codeOf)).toEqual(['none']);
};

const raised = async () => {
  const records = await rig.auditRecords();
  return records.filter(({ action }) => action === 'alert.raised').map(({ detail }) => detail);
};

/** Until everything that is recorded has been gone over. */
async function settle(alerts: Alerts): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) {
    await rig.store.flushed();
    await alerts.tick();
  }
}

it('an alert is a record of the cluster, once', async () => {
  setRules({});
  const alerts = leader();
  for (let at = 0; at < 5; at += 1) deny('mallory');
  await settle(alerts);
  expect(await raised()).toEqual([expect.stringMatching(/^guessing: 3 denials, record \d+$/)]);
  const records = await rig.auditRecords();
  expect(records.at(-1)).toMatchObject({ principal: 'mallory', node: '', count: 3, result: 'OK' });
  expect(rig.store.audit.rules.alertCursor.evaluated).toBe(records.length - 1);
});

it('there is nothing to do without rules, and for who does not lead', async () => {
  deny('mallory', 9);
  await settle(leader());
  setRules({});
  deny('mallory', 9);
  await settle(leader({ isLeader: false }));
  expect(submitted).toEqual([]);
  await settle(leader());
  expect(await raised()).toHaveLength(1);
});

it('a new leader goes on where the last one was: no alert twice, none lost', async () => {
  setRules({});
  deny('mallory', 2);
  await settle(leader());
  deny('mallory');
  await settle(leader());
  expect(await raised()).toHaveLength(1);
  deny('mallory', 4);
  deny('eve', 3);
  await settle(leader());
  expect((await raised()).length).toBe(2);
});

it('what was recorded between a denial and its alert gives no second one to the next leader', async () => {
  setRules({});
  deny('mallory', 3);
  onSubmit = () => {
    deny('mallory', 3);
    return 'apply';
  };
  await settle(leader());
  onSubmit = () => 'apply';
  await settle(leader());
  expect(await raised()).toHaveLength(1);
});

it.each(['lose', 'refuse'] as const)('one whose note was not answered (%s) looks again', async (what) => {
  setRules({});
  deny('mallory', 3);
  onSubmit = () => (submitted.length === 1 ? what : 'apply');
  await settle(leader());
  expect(await raised()).toHaveLength(1);
  await settle(leader());
  expect(await raised()).toHaveLength(1);
});

it('of two who believe to lead, one is heard', async () => {
  setRules({});
  const [one, other] = [leader(), leader()];
  await Promise.all([settle(one), settle(other)]);
  deny('mallory', 3);
  await rig.store.flushed();
  await Promise.all([one.tick(), other.tick()]);
  await Promise.all([settle(one), settle(other)]);
  expect(submitted.length).toBeGreaterThan(1);
  expect(await raised()).toHaveLength(1);
});

it('rules are of what comes after them', async () => {
  deny('mallory', 9);
  setRules({});
  await settle(leader());
  expect(await raised()).toEqual([]);
  // Other rules go over what the former ones had not.
  deny('mallory', 9);
  setRules({ rules: [{ ...DENIALS, name: 'other' }] });
  await settle(leader());
  expect(await raised()).toEqual([expect.stringMatching(/^other: /)]);
});

const noteMany = (count: number) => {
  const many = Array.from({ length: LIMITS.auditNotesMax }, () => RECORD);
  for (let at = 0; at < count; at += many.length) rig.apply(command({ noteAudit: { records: many } }, NODE));
};

it('that there was nothing is noted now and then, so that a new leader need not begin from the beginning', async () => {
  setRules({});
  noteMany(LIMITS.alertCursorRecordsMax);
  const alerts = leader();
  await settle(alerts);
  await settle(alerts);
  expect(submitted).toHaveLength(1);
  expect(rig.store.audit.rules.alertCursor.evaluated).toBe(rig.store.audit.head.sequence);
  expect(await raised()).toEqual([]);
});

it('as many are gone over at once as there is time for, and others have their turn between', async () => {
  setRules({});
  deny('mallory', 3);
  await settle(leader());
  noteMany(6_000);
  deny('eve', 3);
  portionMs = LIMITS.alertSliceMs / 2;
  const next = leader();
  await rig.store.flushed();
  polls = 0;
  const beganMs = clock.monotonicMs();
  const ticks = [];
  while ((await raised()).length < 2 && ticks.length < 400) {
    const beforeMs = clock.monotonicMs();
    await next.tick();
    ticks.push(clock.monotonicMs() - beforeMs);
  }
  // Over all of them twice: which alerts were given, and which are to be.
  expect(clock.monotonicMs() - beganMs).toBeGreaterThanOrEqual(12 * portionMs);
  expect(Math.max(...ticks)).toBeLessThanOrEqual(2 * LIMITS.alertSliceMs);
  expect(polls).toBeGreaterThan(ticks.length / 2);
  expect((await raised()).map((text) => text.replace(/,.*/, ''))).toEqual(
    Array(2).fill('guessing: 3 denials'),
  );
});

it('that the rules are far behind is said', async () => {
  setRules({});
  noteMany(LIMITS.alertCursorRecordsMax + 1_000);
  portionMs = LIMITS.alertSliceMs;
  const alerts = leader();
  await rig.store.flushed();
  await alerts.tick();
  const behind = rig.store.audit.head.sequence;
  expect(alerts.warnings).toEqual([`the alert rules are behind by ${behind} audit records`]);
  portionMs = 0;
  await settle(alerts);
  expect(alerts.warnings).toEqual([]);
});

it('a rule that the machine of the leader cannot judge by is said, and stops no other one', async () => {
  const hours = { kind: 'reads-outside-hours', resource: '**', toMinute: 5, days: 1, timeZone: 'Moon/Base' };
  setRules({ rules: [{ ...DENIALS, ...hours, name: 'night' }, DENIALS] });
  const said = 'the alert rule night is passed over: this machine knows no time zone Moon/Base';
  const alerts = leader();
  deny('mallory', 3);
  await settle(alerts);
  expect(await raised()).toEqual([expect.stringMatching(/^guessing: /)]);
  expect(alerts.warnings).toEqual([said]);
  // Also when it has to look anew.
  onSubmit = () => 'refuse';
  deny('eve', 3);
  await settle(alerts);
  expect(warned).toEqual([said]);
  setRules({});
  await settle(alerts);
  expect(alerts.warnings).toEqual([]);
});

async function receiver(...statuses: number[]): Promise<{ url: string; received: Received[] }> {
  webhook = new WebhookReceiver(statuses);
  return { url: await webhook.listen(), received: webhook.received };
}

/** Ticks, and lets the time for another attempt pass. */
async function tickUntil(alerts: Alerts, condition: () => boolean, what: string): Promise<void> {
  await until(async () => {
    clock.advance(LIMITS.webhookRetryMsMax);
    await settle(alerts);
    return condition();
  }, what);
}

it('the webhook gets each alert in its order, signed, and again until it takes it', async () => {
  const { url, received } = await receiver(500, 0, 302);
  setRules({ webhook: { url, secret: SECRET } });
  const alerts = leader();
  deny('mallory', 3);
  deny('eve', 3);
  await tickUntil(alerts, () => rig.store.audit.rules.alertCursor.delivered > 0, 'both are delivered');
  await tickUntil(alerts, () => received.length === 6, 'all have come');
  const [change, ...raisedThen] = (await rig.auditRecords()).filter(isAlert).map(({ sequence }) => sequence);
  expect(sequencesOf(received)).toEqual([...Array.from({ length: 4 }, () => change), ...raisedThen]);
  const { headers, body } = received[5] as Received;
  const [, seconds = '', code] =
    /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['holdfast-signature'])) ?? [];
  expect(createHmac('sha256', SECRET).update(`${seconds}.${body}`).digest('hex')).toBe(code);
  expect(JSON.parse(body)).toMatchObject({
    cluster: 'c1',
    alert: { principal: 'eve', action: 'alert.raised' },
  });
  expect(body).not.toContain(SECRET.toString());
});

it('what was delivered is not sent again by the next leader, and what was not is', async () => {
  const { url, received } = await receiver();
  setRules({ webhook: { url, secret: SECRET } });
  const first = leader();
  deny('mallory', 3);
  const isNoted = () => {
    const { delivered } = rig.store.audit.rules.alertCursor;
    return received.length === 2 && delivered >= (sequencesOf(received)[1] ?? 0);
  };
  await tickUntil(first, isNoted, 'the change and the first are delivered, and that is noted');
  deny('eve', 3);
  onSubmit = ({ noteAlerts }) => (noteAlerts?.alerts.length === 0 ? 'refuse' : 'apply');
  await rig.store.flushed();
  await first.tick();
  onSubmit = () => 'apply';
  const next = leader();
  await tickUntil(next, () => received.length === 3, 'the second is delivered');
  expect(new Set(sequencesOf(received)).size).toBe(3);
});

it('what is delivered while a note is in the log is noted by the next one', async () => {
  const { url } = await receiver();
  setRules({ webhook: { url, secret: SECRET } });
  const alerts = leader();
  await settle(alerts);
  await until(() => taken === 1, 'the change is delivered');
  deny('mallory', 3);
  deny('eve', 3);
  await settle(alerts);
  await until(() => taken === 2, 'the first is delivered');
  inLog = () => until(() => taken === 3, 'the second is delivered');
  await settle(alerts);
  const last = (await rig.auditRecords()).findLast(({ action }) => action === 'alert.raised');
  expect(rig.store.audit.rules.alertCursor.delivered).toBeGreaterThanOrEqual(last?.sequence ?? 0);
});

it('what the webhook did not take from one leader it gets from the next', async () => {
  const { url, received } = await receiver(500, 500, 500);
  setRules({ webhook: { url, secret: SECRET } });
  const first = leader();
  for (const name of ['ann', 'bea']) {
    deny(name, 3);
    await settle(first);
  }
  await until(() => received.length > 0, 'the first is refused');
  const waiting = (await rig.auditRecords()).filter(({ action }) => action === 'alert.raised');
  received.splice(0);
  const next = leader();
  const wanted = waiting.map(({ sequence }) => sequence);
  const hasCome = () => wanted.every((sequence) => sequencesOf(received).includes(sequence));
  await tickUntil(next, hasCome, 'both are delivered');
  expect(wanted).toHaveLength(2);
});

it('a receiver that does not answer holds up no alert', async () => {
  setRules({ webhook: { url: 'http://127.0.0.1:9/', secret: SECRET } });
  const alerts = leader();
  for (const name of ['ann', 'bea', 'cid']) {
    deny(name, 3);
    await settle(alerts);
  }
  expect(await raised()).toHaveLength(3);
});
