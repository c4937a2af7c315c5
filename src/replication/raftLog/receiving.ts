import type { Raft } from '../raft/raft.ts';
import type { Message } from '../raft/types.ts';
import type { RefusedMessage } from '../transport/types.ts';
import type { PeerSet } from './peerSet.ts';

/** Steps the core with what peers sent. Returns what it refused to look at; who sent that has not been heard. */
export function stepAll(
  messages: readonly Message[],
  { raft, peers }: { raft: Raft; peers: PeerSet },
): readonly RefusedMessage[] {
  const refused: RefusedMessage[] = [];
  for (const message of messages) {
    const reason = raft.step(message);
    if (reason === null) peers.heard(message.from);
    else refused.push({ type: message.type, reason });
  }
  return refused;
}
