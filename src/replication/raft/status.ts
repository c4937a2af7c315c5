import { isReachable } from './peers.ts';
import type { Progress } from './progress.ts';
import type { RaftState } from './state.ts';
import type { RaftStatus } from './types.ts';

type MemberStatus = RaftStatus['progress'][number];

/** A copy of what an observer may see. A leader lists itself too. */
export function statusOf(state: RaftState): RaftStatus {
  const { log } = state;
  return {
    nodeId: state.nodeId,
    role: state.role,
    term: state.term,
    durableTerm: state.durability.durable.term,
    vote: state.vote,
    leader: state.leader,
    commit: log.commit,
    applied: log.applied,
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    lastHash: log.last.hash,
    suspectUntil: state.suspicion?.until ?? null,
    configuration: state.configuration,
    transferTarget: state.transfer?.target ?? null,
    uncommittedBytes: state.uncommittedBytes,
    progress: state.role === 'leader' ? members(state) : [],
  };
}

function members(state: RaftState): MemberStatus[] {
  const own: MemberStatus = {
    nodeId: state.nodeId,
    match: state.durability.stable,
    next: state.log.lastIndex + 1,
    state: 'replicate',
    silentTicks: 0,
    reachable: true,
    suspect: false,
  };
  return [own, ...[...state.peers].map(([nodeId, progress]) => memberStatus(state, nodeId, progress))];
}

function memberStatus(raft: RaftState, nodeId: MemberStatus['nodeId'], progress: Progress): MemberStatus {
  const { match, next, state, silentTicks, suspicion } = progress;
  const reachable = isReachable(raft, nodeId);
  return { nodeId, match, next, state, silentTicks, reachable, suspect: suspicion !== null };
}
