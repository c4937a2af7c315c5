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
        // Else a leader that adds members would fail its next quorum check before they could speak.
        recentlyActive: true,
        window: {
          messagesMax: state.options.inFlightMessagesMax,
          bytesMax: state.options.inFlightBytesMax,
        },
      }),
    );
  }
  state.replicationDue = true;
}
