import type { NodeId } from '../../base/ids.ts';
import { campaign } from './election.ts';
import { broadcastHeartbeat } from './heartbeats.ts';
import { maybeLeaveJoint } from './membership.ts';
import { isReachable } from './peers.ts';
import { quorumReached } from './quorum.ts';
import { expireForwardedReads } from './reads.ts';
import { becomeFollower, setLeader } from './roles.ts';
import type { RaftState } from './state.ts';
import { expireTransfer } from './transfer.ts';

/** One step of time. */
export function tick(state: RaftState): void {
  state.ticks += 1;
  state.electionElapsed += 1;
  expireForwardedReads(state);
  if (state.role === 'leader') tickLeader(state);
  else if (state.electionElapsed >= state.electionTimeout) {
    // Also where this node may not campaign: a silent leader is none.
    setLeader(state, null);
    campaign(state, { transfer: false });
  }
}

function tickLeader(state: RaftState): void {
  expireTransfer(state);
  if (state.electionElapsed >= state.options.electionTicksMin) {
    state.electionElapsed = 0;
    if (!quorumActive(state)) {
      // CheckQuorum (Ongaro 2014, section 6.2): clients must not wait for a leader that nobody hears.
      becomeFollower(state, state.term, null);
      return;
    }
  }
  // After the check: who was heard since the one before it has been silent for less than the shortest election timeout.
  for (const progress of state.peers.values()) progress.ticked();
  maybeLeaveJoint(state);
  state.heartbeatElapsed += 1;
  if (state.heartbeatElapsed >= state.options.heartbeatTicks) {
    state.heartbeatElapsed = 0;
    broadcastHeartbeat(state);
  }
}

function quorumActive(state: RaftState): boolean {
  const active = (voter: NodeId): number => (voter === state.nodeId || isReachable(state, voter) ? 1 : 0);
  return quorumReached(state.configuration, active) === 1;
}
