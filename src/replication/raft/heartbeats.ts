import type { NodeId } from '../../base/ids.ts';
import type { Progress } from './progress.ts';
import type { RaftState } from './state.ts';

/** Invariant 6: tells no commit index beyond what the member is known to hold. */
export function sendHeartbeat(state: RaftState, to: NodeId, progress: Progress): void {
  state.send({
    type: 'heartbeat',
    from: state.nodeId,
    to,
    term: state.term,
    commit: Math.min(progress.match, state.log.commit),
    round: state.readRounds.latest,
  });
}

/** The leader's sign of life, on the clock. Repeats the latest read round, in case its heartbeats were lost. */
export function broadcastHeartbeat(state: RaftState): void {
  for (const [nodeId, progress] of state.peers) {
    progress.heartbeatSent();
    sendHeartbeat(state, nodeId, progress);
  }
}
