import type { SourcePatch } from '../patches/patchedBuild.ts';

const RAFT = 'src/replication/raft';
const WAL = 'src/replication/wal';

/** One protecting line, taken away. The simulation has to notice. */
export interface Mutation extends SourcePatch {
  /** What the line protects: the invariant's number, or a word where there is none. */
  readonly protects: string;
}

function mutation(protects: string, patch: SourcePatch): Mutation {
  return { protects, ...patch };
}

const elections: readonly Mutation[] = [
  mutation('I25', {
    name: 'vote majority one too small',
    file: `${RAFT}/quorum.ts`,
    find: 'const needed = Math.floor(voters.length / 2) + 1;',
    replace: 'const needed = Math.max(1, Math.floor(voters.length / 2));',
  }),
  mutation('I28', {
    name: 'elections ignore the outgoing voters',
    file: `${RAFT}/quorum.ts`,
    find: 'if (sets.votersOutgoing.length === 0) return incoming;',
    replace: 'return incoming;',
  }),
  mutation('I11', {
    name: 'vote sent before it is durable',
    file: `${RAFT}/election.ts`,
    find: "state.sendAfterPersist({\n    type: preVote ? 'preVoteResponse' : 'voteResponse',",
    replace: "state.outgoing.push({\n    type: preVote ? 'preVoteResponse' : 'voteResponse',",
  }),
  mutation('I11', {
    name: 'candidacy sent before it is durable',
    file: `${RAFT}/election.ts`,
    find: "state.sendAfterPersist({\n      type: 'vote',",
    replace: "state.outgoing.push({\n      type: 'vote',",
  }),
  mutation('I25', {
    name: 'vote for a shorter log',
    file: `${RAFT}/election.ts`,
    find: 'if (isUpToDate(last, log.last)) return true;',
    replace: 'return true;',
  }),
  mutation('I1', {
    name: 'two votes in one term',
    file: `${RAFT}/election.ts`,
    find: '(state.vote === null && state.leader === null) ||',
    replace: 'state.leader === null ||',
  }),
  mutation('I1', {
    name: 'vote forgotten by a restart',
    file: `${RAFT}/state.ts`,
    find: 'this.vote = hardState.vote;',
    replace: 'this.vote = null;',
  }),
  mutation('I16', {
    name: 'learners campaign',
    file: `${RAFT}/election.ts`,
    find: 'isVoter(state.configuration, state.nodeId) &&\n    state.snapshotPending',
    replace: 'state.snapshotPending',
  }),
  mutation('I14', {
    name: 'a pre-vote raises the term',
    file: `${RAFT}/gate.ts`,
    find: "if (message.type === 'preVote') return true;",
    replace: '',
  }),
  mutation('I38', {
    name: 'votes while the leader is heard',
    file: `${RAFT}/gate.ts`,
    find: 'if (!message.transfer && leaderHeardRecently(state)) {',
    replace: 'if (false) {',
  }),
  mutation('CheckQuorum', {
    name: 'a leader that nobody hears stays',
    file: `${RAFT}/ticking.ts`,
    find: 'if (!quorumActive(state)) {',
    replace: 'if (false) {',
  }),
  mutation('I37', {
    name: 'a stale leader is not told of the later term',
    file: `${RAFT}/gate.ts`,
    find: 'if (LEADER_MESSAGES.has(message.type)) {\n    // A leader',
    replace: 'if (false) {\n    // A leader',
  }),
  mutation('I1', {
    name: 'the term is forgotten on a later one',
    file: `${RAFT}/roles.ts`,
    find: 'state.term = term;\n  state.vote = null;',
    replace: 'state.term = term;',
  }),
];

const commits: readonly Mutation[] = [
  mutation('I26', {
    name: 'commit quorum one too small',
    file: `${RAFT}/quorum.ts`,
    find: 'return numbers[Math.floor(numbers.length / 2)] ?? 0;',
    replace: 'return numbers[Math.max(0, Math.floor(numbers.length / 2) - 1)] ?? 0;',
  }),
  mutation('I28', {
    name: 'commit ignores the outgoing voters',
    file: `${RAFT}/quorum.ts`,
    find: 'return Math.min(majorityReached(sets.voters, reached), majorityReached(sets.votersOutgoing, reached));',
    replace: 'return majorityReached(sets.voters, reached);',
  }),
  mutation('I9', {
    name: 'commit of an earlier term',
    file: `${RAFT}/commit.ts`,
    find: 'if (reached <= state.log.commit || state.log.termAt(reached) !== state.term) return;',
    replace: 'if (reached <= state.log.commit) return;',
  }),
  mutation('I9', {
    name: 'the leader counts itself before its disk',
    file: `${RAFT}/commit.ts`,
    find: 'voter === state.nodeId ? state.durability.stable :',
    replace: 'voter === state.nodeId ? state.log.lastIndex :',
  }),
  mutation('I11', {
    name: 'append acknowledged before it is durable',
    file: `${RAFT}/follower.ts`,
    find: "state.sendAfterPersist({\n    type: 'appendResponse',",
    replace: "state.outgoing.push({\n    type: 'appendResponse',",
  }),
  mutation('I11', {
    name: 'what waits for a write leaves with an empty turn',
    file: `${RAFT}/readying.ts`,
    find: 'if (!news && (durability.idle || state.outgoingAfterPersist.length === 0)) {',
    replace: 'if (!news) {',
  }),
  mutation('I6', {
    name: 'commit of what the append did not compare',
    file: `${RAFT}/follower.ts`,
    find: 'commitTo(state, Math.min(message.commit, lastNew));',
    replace: 'commitTo(state, Math.min(message.commit, state.log.lastIndex));',
  }),
  mutation('I6', {
    name: 'heartbeat tells more than the member holds',
    file: `${RAFT}/heartbeats.ts`,
    find: 'commit: Math.min(progress.match, state.log.commit),',
    replace: 'commit: state.log.commit,',
  }),
  mutation('I6', {
    name: 'news of a commit believed without an append',
    file: `${RAFT}/follower.ts`,
    find: 'commitTo(state, Math.min(message.commit, state.comparedThrough));',
    replace: 'commitTo(state, Math.min(message.commit, state.log.lastIndex));',
  }),
  mutation('I6', {
    name: 'what an earlier leader compared still counts',
    file: `${RAFT}/state.ts`,
    find: 'return this.compared.term === this.term ? this.compared.index : 0;',
    replace: 'return this.compared.index;',
  }),
  mutation('I10', {
    name: 'an old acknowledgement lowers the match',
    file: `${RAFT}/progress.ts`,
    find: 'const news = index > this.#match;',
    replace: 'const news = index !== this.#match;',
  }),
  mutation('I12', {
    name: 'a write under way proves what was cut',
    file: `${RAFT}/durability.ts`,
    find: 'for (const write of this.#inFlight) write.last = Math.min(write.last, index - 1);',
    replace: '',
  }),
  mutation('I12', {
    name: 'a cut leaves the stable index',
    file: `${RAFT}/durability.ts`,
    find: 'this.#stable = Math.min(this.#stable, index - 1);',
    replace: '',
  }),
  mutation('I12', {
    name: 'a write under way proves what a snapshot replaced',
    file: `${RAFT}/durability.ts`,
    find: 'for (const write of this.#inFlight) write.last = 0;',
    replace: '',
  }),
];

const logs: readonly Mutation[] = [
  mutation('I5', {
    name: 'an old append cuts what came after it',
    file: `${RAFT}/follower.ts`,
    find: 'const fresh = entries.slice(state.log.knownPrefix(entries));',
    replace: 'const fresh = entries;',
  }),
  mutation('I24', {
    name: 'the place before an append is not compared',
    file: `${RAFT}/follower.ts`,
    find: 'const equal = own.term === previous.term && sameHash(own.hash, previous.hash);',
    replace: 'const equal = true;',
  }),
  mutation('I2', {
    name: 'applied before it is durable here',
    file: `${RAFT}/log.ts`,
    find: 'const through = Math.min(this.#commit, options.stable);',
    replace: 'const through = this.#commit;',
  }),
  mutation('I37', {
    name: 'a lost append is never noticed',
    file: `${RAFT}/replication.ts`,
    find: 'if (!progress.takeNudge()) return;',
    replace: 'return;',
  }),
  mutation('I41', {
    name: 'no bound for what is uncommitted',
    file: `${RAFT}/proposals.ts`,
    find: "if (state.uncommittedBytes >= state.options.uncommittedBytesMax) return { refused: 'overloaded' };",
    replace: '',
  }),
  mutation('I20', {
    name: 'entries handed out while a snapshot is on its way',
    file: `${RAFT}/readying.ts`,
    find: 'state.snapshotPending === null && !state.stateMissing',
    replace: 'true',
  }),
  mutation('I20', {
    name: 'a state is replaced by an older one',
    file: `${RAFT}/snapshots.ts`,
    find: 'if (metadata.index <= log.handedOut && !(fromNothing && metadata.index === log.handedOut)) return false;',
    replace: '',
  }),
  mutation('I11', {
    name: 'a snapshot acknowledged before the log knows it',
    file: `${RAFT}/snapshots.ts`,
    find: "state.sendAfterPersist({\n    type: 'appendResponse',",
    replace: "state.outgoing.push({\n    type: 'appendResponse',",
  }),
  mutation('I39', {
    name: 'a failed snapshot is not told',
    file: `${RAFT}/snapshots.ts`,
    find: 'if (pending === null || state.leader !== pending.from) return;',
    replace: 'return;',
  }),
];

const reads: readonly Mutation[] = [
  mutation('I31', {
    name: 'a read confirmed by nobody',
    file: `${RAFT}/reads.ts`,
    find: 'voter === state.nodeId ? state.readRounds.latest : state.readRounds.acknowledgedBy(voter),',
    replace: 'voter === "" ? 0 : state.readRounds.latest,',
  }),
  mutation('I31', {
    name: 'any answer confirms the newest round',
    file: `${RAFT}/replication.ts`,
    find: 'state.readRounds.acknowledge(message.from, message.round);',
    replace: 'state.readRounds.acknowledge(message.from, state.readRounds.latest);',
  }),
  mutation('I31', {
    name: 'reads before an own entry is committed',
    file: `${RAFT}/reads.ts`,
    find: 'if (!hasCommittedInTerm(state)) return;',
    replace: '',
  }),
  mutation('I31', {
    name: 'reads at the applied index',
    file: `${RAFT}/reads.ts`,
    find: 'state.readRounds.start(state.log.commit);',
    replace: 'state.readRounds.start(state.log.applied);',
  }),
];

const members: readonly Mutation[] = [
  mutation('I17', {
    name: 'two changes of members at once',
    file: `${RAFT}/membership.ts`,
    find: 'if (state.pendingConfigurationIndex > state.log.applied || isJoint(state.configuration)) {',
    replace: 'if (false) {',
  }),
  mutation('I17', {
    name: 'a new leader knows of no change under way',
    file: `${RAFT}/roles.ts`,
    find: 'state.pendingConfigurationIndex = state.log.lastIndex;',
    replace: '',
  }),
  mutation('I28', {
    name: 'changes without a joint configuration',
    file: `${RAFT}/configuration.ts`,
    find: 'votersOutgoing: sorted(draft.outgoing),',
    replace: 'votersOutgoing: [],',
  }),
  mutation('I40', {
    name: 'a removed leader stays',
    file: `${RAFT}/membership.ts`,
    find: 'if (!counts) {',
    replace: 'if (false) {',
  }),
  mutation('I39', {
    name: 'a joint configuration is never left',
    file: `${RAFT}/membership.ts`,
    find: "if (state.role !== 'leader' || state.transfer !== null) return;\n  if (!isJoint",
    replace: 'if (state.role !== null) return;\n  if (!isJoint',
  }),
  mutation('I18', {
    name: 'an outgoing voter is a learner at once',
    file: `${RAFT}/configuration.ts`,
    find: '(draft.outgoing.includes(nodeId) ? draft.learnersNext : draft.learners).add(nodeId);',
    replace: 'draft.learners.add(nodeId);',
  }),
];

const hosts: readonly Mutation[] = [
  mutation('I11', {
    name: 'the host sends before it has written',
    file: 'src/replication/raftLog/raftLog.ts',
    find: 'const durable = this.#options.wal.append(walBatch);',
    replace: 'this.#send(messagesAfterPersist);\n    const durable = this.#options.wal.append(walBatch);',
  }),
  mutation('I11', {
    name: 'the log answers before the disk',
    file: `${WAL}/groupCommit.ts`,
    find: 'await this.#perform(group);',
    replace: 'void this.#perform(group);',
  }),
  mutation('I26', {
    name: 'the folder is not synced after a new segment',
    file: `${WAL}/segmentWriter.ts`,
    find: 'await files.syncDirectory(directory);\n    const before = this.#current;',
    replace: 'const before = this.#current;',
  }),
  mutation('F5', {
    name: 'a leader whose disk hangs goes on',
    file: 'src/replication/raftLog/raftLog.ts',
    find: 'stalled ? messages.filter((message) => !LEADING_MESSAGES.has(message.type)) : messages,',
    replace: 'stalled ? messages : messages,',
  }),
  mutation('I13', {
    name: 'the log is released before the state is durable',
    file: 'src/store/store.ts',
    find: 'get durableHead(): HeadRow {\n    return this.#generation.writer.head;',
    replace: 'get durableHead(): HeadRow {\n    return this.#generation.state.head();',
  }),
  mutation('I27', {
    name: 'a deleted row stays on the disk',
    file: 'src/store/writer.ts',
    find: 'else writes.del(rowKey(row));',
    replace: '',
  }),
  mutation('I32', {
    name: 'a repeated request is executed again',
    file: 'src/store/state.ts',
    find: "if (verdict.kind === 'replay') return verdict.outcome;",
    replace: '',
  }),
  mutation('I34', {
    name: 'log time runs backwards',
    file: 'src/store/state.ts',
    find: 'this.#timeMs = Math.max(this.#timeMs, timeMs);',
    replace: 'this.#timeMs = timeMs;',
  }),
  mutation('I34', {
    name: 'apply draws a number',
    file: 'src/store/clients.ts',
    find: 'const clientId = index * CLIENT_IDS_PER_ENTRY + sub;',
    replace: 'const clientId = index * CLIENT_IDS_PER_ENTRY + sub + Math.floor(Math.random() * 2);',
  }),
];

export const MUTATIONS: readonly Mutation[] = [
  ...elections,
  ...commits,
  ...logs,
  ...reads,
  ...members,
  ...hosts,
];
