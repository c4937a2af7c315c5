import { type Mutation, RAFT, SCENARIOS } from './mutation.ts';

/** Reads that miss nothing. */
export const READS: readonly Mutation[] = [
  {
    name: 'a read confirmed by nobody',
    protects: 'I31',
    file: `${RAFT}/reads.ts`,
    find: 'voter === state.nodeId ? state.readRounds.latest : state.readRounds.acknowledgedBy(voter),',
    replace: 'voter === "" ? 0 : state.readRounds.latest,',
    noticedBy: ['simulation', 'test/replication/raft/reads.test.ts', SCENARIOS],
  },
  {
    name: 'any answer confirms the newest round',
    protects: 'I31',
    file: `${RAFT}/replication.ts`,
    find: 'state.readRounds.acknowledge(message.from, message.round);',
    replace: 'state.readRounds.acknowledge(message.from, state.readRounds.latest);',
    noticedBy: ['simulation', 'test/replication/raft/reads.test.ts', SCENARIOS],
  },
  {
    name: 'reads before an own entry is committed',
    protects: 'I31',
    file: `${RAFT}/reads.ts`,
    find: 'if (!hasCommittedInTerm(state)) return;',
    replace: '',
    noticedBy: ['simulation', 'test/replication/raft/reads.test.ts', SCENARIOS],
  },
  {
    name: 'reads at the applied index',
    protects: 'I31',
    file: `${RAFT}/reads.ts`,
    find: 'state.readRounds.start(state.log.commit);',
    replace: 'state.readRounds.start(state.log.applied);',
    noticedBy: ['simulation', 'test/replication/raft/reads.test.ts', SCENARIOS],
  },
  {
    name: 'an answer to an older round confirms the latest',
    protects: 'I31',
    file: `${RAFT}/readRounds.ts`,
    find: 'this.#acknowledged.set(from, Math.max(this.acknowledgedBy(from), sequence));',
    replace: 'this.#acknowledged.set(from, Math.max(this.#latest, sequence));',
    noticedBy: [SCENARIOS],
  },
  {
    name: 'read rounds are all called the same',
    protects: 'I31',
    file: `${RAFT}/readRounds.ts`,
    find: '    this.#latest += 1;',
    replace: '    this.#latest = 1;',
    noticedBy: [SCENARIOS],
  },
  {
    name: 'forwarded reads of each run have the same numbers',
    protects: 'I31',
    file: `${RAFT}/forwardedReads.ts`,
    find: 'this.#nextWireId = random.bytes(6).readUIntBE(0, 6);',
    replace: 'this.#nextWireId = random.bytes(6).length;',
    noticedBy: [SCENARIOS],
  },
  {
    name: 'a read at a deposed leader waits for ever',
    protects: 'I31',
    file: `${RAFT}/reads.ts`,
    find: '    if (from === null) state.readStates.push({ requestId, index: null });',
    replace: '',
    noticedBy: [SCENARIOS],
  },
];
