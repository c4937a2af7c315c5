import type { NodeId } from '../../base/ids.ts';
import { maybeCommit } from './commit.ts';
import { entryBytes } from './log.ts';
import type { Progress } from './progress.ts';
import { confirmReads } from './reads.ts';
import type { RaftState } from './state.ts';
import { judgeMember } from './suspectMembers.ts';
import { continueTransfer } from './transfer.ts';
import type { Message } from './types.ts';

type AppendResponse = Extract<Message, { type: 'appendResponse' }>;

/** Leader: sends every member what it lacks, as far as its window is open. Called once in ready(). */
export function flushReplication(state: RaftState): void {
  if (state.role !== 'leader' || !state.replicationDue) return;
  state.replicationDue = false;
  for (const [nodeId, progress] of state.peers) {
    while (progress.open && lacksEntries(state, progress)) {
      sendAppend(state, nodeId, { progress, bytesMax: state.options.appendBytesMax });
    }
    if (progress.state === 'replicate') sendCommit(state, nodeId, progress);
  }
}

function lacksEntries(state: RaftState, progress: Progress): boolean {
  return progress.state === 'probe' || progress.next <= state.log.lastIndex;
}

/** News of the commit index that no append has carried. It says nothing of entries that have not been sent. */
function sendCommit(state: RaftState, to: NodeId, progress: Progress): void {
  const commit = Math.min(state.log.commit, progress.next - 1);
  if (commit <= progress.sentCommit) return;
  state.send({ type: 'commit', from: state.nodeId, to, term: state.term, commit });
  progress.sentCommitIndex(commit);
}

function sendAppend(
  state: RaftState,
  to: NodeId,
  { progress, bytesMax }: { progress: Progress; bytesMax: number },
): void {
  const { log } = state;
  const previous = log.at(progress.next - 1);
  if (previous === null) {
    progress.needsSnapshot();
    return offerSnapshot(state, to);
  }
  const entries = bytesMax === 0 ? [] : log.slice(progress.next, { through: log.lastIndex, bytesMax });
  state.send({
    type: 'append',
    from: state.nodeId,
    to,
    term: state.term,
    previous: { index: previous.index, term: previous.term },
    previousHash: previous.hash,
    entries,
    commit: log.commit,
    ...(progress.suspicion === null ? {} : { suspicion: progress.suspicion }),
  });
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  progress.sentAppend({
    last: previous.index + entries.length,
    entries: entries.length,
    bytes,
    commit: log.commit,
  });
}

function offerSnapshot(state: RaftState, to: NodeId): void {
  state.send({
    type: 'snapshotOffer',
    from: state.nodeId,
    to,
    term: state.term,
    index: Math.max(1, state.log.base.index),
  });
}

export function onAppendResponse(state: RaftState, message: AppendResponse): void {
  const progress = state.peers.get(message.from);
  if (state.role !== 'leader' || progress === undefined) return state.drop('notLeader');
  progress.heard();
  judgeMember(state, message, progress);
  if (message.rejected) return onRejection(state, message, progress);
  // Invariant 29: nobody can hold more of this log than its leader.
  if (message.index > state.log.lastIndex) return state.drop('ackBeyondLog');
  state.replicationDue = true;
  if (progress.suspicion !== null) {
    progress.suspectHolds(message.index, state.log.firstIndex);
  } else if (progress.acknowledged(message.index, state.log.firstIndex)) {
    maybeCommit(state);
    continueTransfer(state, message.from);
  }
}

function onRejection(state: RaftState, message: AppendResponse, progress: Progress): void {
  if (message.index === 0) {
    // Place 0 is before every log: only a node without any configuration refuses it. It needs the members first.
    if (progress.state === 'snapshot') return;
    progress.needsSnapshot();
    return offerSnapshot(state, message.from);
  }
  const { hint } = message;
  const candidate = hint.term > 0 ? state.log.lastAtOrBelowTerm(hint.index, hint.term).index : hint.index;
  const news =
    progress.suspicion === null
      ? progress.refused(message.index, candidate)
      : progress.suspectRefused(message.index, candidate);
  if (news) state.replicationDue = true;
}

export function onHeartbeatResponse(
  state: RaftState,
  message: Extract<Message, { type: 'heartbeatResponse' }>,
): void {
  const progress = state.peers.get(message.from);
  if (state.role !== 'leader' || progress === undefined) return state.drop('notLeader');
  progress.heard();
  if (message.round > state.readRounds.latest) return state.drop('malformed');
  state.readRounds.acknowledge(message.from, message.round);
  confirmReads(state);
  nudge(state, message.from, progress);
}

/** Once per heartbeat: finds out about lost appends, answers and offers. Invariant 22: also when the window is full. */
function nudge(state: RaftState, to: NodeId, progress: Progress): void {
  if (!progress.takeNudge()) return;
  if (progress.state === 'snapshot') return offerSnapshot(state, to);
  if (progress.state === 'replicate' && progress.match >= state.log.lastIndex) return;
  const bytesMax = progress.windowFull ? 0 : state.options.appendBytesMax;
  sendAppend(state, to, { progress, bytesMax });
}

export function onSnapshotFailed(
  state: RaftState,
  message: Extract<Message, { type: 'snapshotFailed' }>,
): void {
  const progress = state.peers.get(message.from);
  if (state.role !== 'leader' || progress === undefined) return state.drop('notLeader');
  progress.heard();
  // The next heartbeat's answer probes again: a member that fails at once must not make a storm.
  progress.snapshotFailed();
}
