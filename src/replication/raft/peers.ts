import type { NodeId } from '../../base/ids.ts';
import { membersOf } from './configuration.ts';
import { Progress } from './progress.ts';
import type { RaftState } from './state.ts';

/** Leader: exactly one progress for every other member (invariant 18); what is known of the old ones stays. */
export function syncPeers(state: RaftState): void {
  const members = new Set(membersOf(state.configuration));
  for (const nodeId of state.peers.keys()) {
    if (!members.has(nodeId)) state.peers.delete(nodeId);
  }
  for (const nodeId of members) {
    if (nodeId === state.nodeId || state.peers.has(nodeId)) continue;
    state.peers.set(
      nodeId,
      new Progress({
        match: 0,
        next: state.log.lastIndex + 1,
        window: {
          messagesMax: state.options.inFlightMessagesMax,
          bytesMax: state.options.inFlightBytesMax,
        },
      }),
    );
  }
  state.replicationDue = true;
}

/** Leader: whether another member was heard within the last shortest election timeout. */
export function isReachable(state: RaftState, member: NodeId): boolean {
  const progress = state.peers.get(member);
  return progress !== undefined && progress.silentTicks < state.options.electionTicksMin;
}
