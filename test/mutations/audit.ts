import type { Mutation } from './mutation.ts';

const STORE_AUDIT = 'test/store/audit.test.ts';
const STORE_READS = 'test/store/auditedReads.test.ts';
const CHECKPOINT = 'test/store/auditCheckpoint.test.ts';
const NODE_AUDIT = 'test/node/audit.test.ts';
const DELIVERY = 'test/node/auditedDelivery.test.ts';
const DENIALS = 'test/node/denials.test.ts';
const VERIFY = 'test/audit/verifyExport.test.ts';
const QUERY = 'test/audit/query.test.ts';

/** Who did what: that it is recorded, and that nothing of it is changed unseen. */
export const AUDIT: readonly Mutation[] = [
  {
    name: 'a record does not cover the one before it',
    protects: 'I54',
    file: 'src/audit/record/chain.ts',
    find: "  target.write(previousHash, 0, 'latin1');\n",
    replace: '  target.fill(0, 0, AUDIT_HASH_BYTES);\n',
    noticedBy: [VERIFY],
  },
  {
    name: 'a record does not cover who asked',
    protects: 'I54',
    file: 'src/audit/record/chain.ts',
    find: "  'principal',\n",
    replace: '',
    noticedBy: [VERIFY],
  },
  {
    name: 'a request that comes again is recorded again',
    protects: 'I54',
    file: 'src/store/auditOfCommand.ts',
    find: 'outcome.replayed || ',
    replace: '',
    noticedBy: [STORE_AUDIT],
  },
  {
    name: 'a previous value that is handed out leaves no record',
    protects: 'I55',
    file: 'src/store/auditOfTransaction.ts',
    find: 'outcome.put.previous ? [outcome.put.previous] : []',
    replace: '[]',
    noticedBy: [STORE_AUDIT, NODE_AUDIT],
  },
  {
    name: 'a compare with a secret value leaves no record',
    protects: 'I55',
    file: 'src/store/auditOfTransaction.ts',
    find: 'if (target !== COMPARE_TARGET.VALUE || ',
    replace: 'if (target === COMPARE_TARGET.VALUE || ',
    noticedBy: [STORE_AUDIT, NODE_AUDIT],
  },
  {
    name: 'a get of an audited name is answered at once',
    protects: 'I55',
    file: 'src/node/kvPort.ts',
    find: 'if (isAudited()) return this.#repeated(() => this.#auditedGet',
    replace: 'if (caller.deadlineMs < 0) return this.#repeated(() => this.#auditedGet',
    noticedBy: [NODE_AUDIT],
  },
  {
    name: 'a history tells what came since its record',
    protects: 'I55',
    file: 'src/node/kvPort.ts',
    find: 'item.modRevision <= revision',
    replace: 'item.modRevision > 0',
    noticedBy: [DELIVERY],
  },
  {
    name: 'what the record does not have is delivered nevertheless',
    protects: 'I55',
    file: 'src/node/kvPort.ts',
    find: 'return names.has(name) || !this.#store.audit.rules.isAudited(name);',
    replace: 'return names.has(name) || name.length > 0;',
    noticedBy: [DELIVERY],
  },
  {
    name: 'what is not audited any more is delivered to nobody',
    protects: 'I55',
    file: 'src/node/kvPort.ts',
    find: 'return names.has(name) || !this.#store.audit.rules.isAudited(name);',
    replace: 'return names.has(name);',
    noticedBy: [DELIVERY],
  },
  {
    name: 'a watch tells the values of audited names',
    protects: 'I55',
    file: 'src/store/watch.ts',
    find: 'this.query.withheld?.(version.entry.key) ?? false',
    replace: 'false',
    noticedBy: [NODE_AUDIT],
  },
  {
    name: 'an audited value is read without the right',
    protects: 'I51',
    file: 'src/store/valueReads.ts',
    find: 'rights.allowsValue(start) ? { allowed: true } :',
    replace: 'start !== null ? { allowed: true } :',
    noticedBy: [STORE_READS, NODE_AUDIT],
  },
  {
    name: 'a checkpoint counts that the CA has not signed',
    protects: 'I54',
    file: 'src/store/auditTrail.ts',
    find: '!isSignedBy(checkpoint, at.certificate)',
    replace: 'at.timeMs < 0',
    noticedBy: [CHECKPOINT],
  },
  {
    name: 'records go before their time',
    protects: 'I54',
    file: 'src/store/auditTrail.ts',
    find: 'retentionMs === 0 || timeMs + retentionMs > at.timeMs',
    replace: 'retentionMs === 0',
    noticedBy: [CHECKPOINT],
  },
  {
    name: 'denials that are too many are not counted',
    protects: 'audit',
    file: 'src/node/denialRoom.ts',
    find: '      this.#folded += record.count;\n',
    replace: '',
    noticedBy: [DENIALS],
  },
  {
    name: 'an export verifies whose end was cut off',
    protects: 'audit',
    file: 'src/audit/verifyExport.ts',
    find: "if (this.#end === null) throw this.#wrong('the export is cut off: its last line is missing');",
    replace: '',
    noticedBy: [VERIFY],
  },
  {
    name: 'a base64 text that another one stands for is taken in an export',
    protects: 'audit',
    file: 'src/audit/verifyExport.ts',
    find: "JSON.stringify(exportFields(record)) !== text.replace(/\\r$/, '')",
    replace: 'text.length === 0',
    noticedBy: [VERIFY],
  },
  {
    name: 'retention stands still where nobody writes',
    protects: 'audit',
    file: 'src/node/housekeeping.ts',
    find: 'dueCheckpoint({ audit, authority, stampMs })',
    replace: 'dueCheckpoint({ audit, authority, stampMs: this.#store.logTimeMs })',
    noticedBy: ['test/node/auditRetention.test.ts'],
  },
  {
    name: 'a range of names is found by no pattern',
    protects: 'audit',
    file: 'src/audit/query.ts',
    find: 'return overlap(within, {',
    replace: "return within.start === '-' && overlap(within, {",
    noticedBy: [QUERY],
  },
];
