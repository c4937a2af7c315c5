import { type Mutation, RAFT_LOG } from './mutation.ts';

/** What drives the core: writes, sends and applies. */
export const HOSTS: readonly Mutation[] = [
  {
    name: 'the host sends before it has written',
    protects: 'I11',
    file: `${RAFT_LOG}/raftLog.ts`,
    find: 'const durable = this.#options.wal.append(walBatch);',
    replace: 'this.#send(messagesAfterPersist);\n    const durable = this.#options.wal.append(walBatch);',
    noticedBy: ['simulation'],
  },
  {
    name: 'a leader whose disk hangs goes on',
    protects: 'F5',
    file: `${RAFT_LOG}/raftLog.ts`,
    find: 'stalled ? messages.filter((message) => !LEADING_MESSAGES.has(message.type)) : messages,',
    replace: 'stalled ? messages : messages,',
    noticedBy: ['simulation'],
  },
  {
    name: 'an entry is applied out of order',
    protects: 'I13',
    file: `${RAFT_LOG}/applier.ts`,
    find: '    assert(entry.index === this.#applied + 1, `I13: ${entry.index} is applied after ${this.#applied}`);\n',
    replace: '',
    noticedBy: ['test/replication/raftLog/parts.test.ts'],
  },
  {
    name: 'a state that differs from its log is opened',
    protects: 'I24',
    file: `${RAFT_LOG}/opening.ts`,
    find: 'if (applied.index <= hardState.commit) {',
    replace: 'if (applied.index < 0) {',
    noticedBy: ['test/replication/raftLog/parts.test.ts'],
  },
  {
    name: 'a state past its log goes on without a restart of the log',
    protects: 'I24',
    file: `${RAFT_LOG}/opening.ts`,
    find: 'sameHash(there.hash, applied.hash)) {',
    replace: 'there.hash.length > 0) {',
    noticedBy: ['test/replication/raftLog/parts.test.ts'],
  },
  {
    name: 'a disk that hangs for long does not stop the node',
    protects: 'F5',
    file: `${RAFT_LOG}/raftLog.ts`,
    find: 'if (stalledMs > this.#timing.diskStallFatalMs) {',
    replace: 'if (stalledMs < 0) {',
    noticedBy: ['test/replication/raftLog/raftLog.test.ts'],
  },
  {
    name: 'the node goes on after its log has failed',
    protects: 'first error is final',
    file: `${RAFT_LOG}/raftLog.ts`,
    find: 'if (failure !== null) return this.#fail(failure);',
    replace: '',
    noticedBy: ['test/replication/raftLog/suspect.test.ts'],
  },
];
