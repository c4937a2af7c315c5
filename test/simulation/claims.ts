import type { NodeId } from '../../src/base/ids.ts';
import type { Message } from '../../src/replication/raft/types.ts';
import type { LogModel } from './observedWal.ts';

/** What a message promises of the sender's disk, when it is the one of the message's own term. */
export function claimOf(
  nodeId: NodeId,
  message: Message,
): { readonly text: string; readonly isDurable: (log: LogModel) => boolean } | null {
  if (message.type === 'vote') {
    return { text: 'asks for votes', isDurable: ({ hardState }) => hardState.vote === nodeId };
  }
  if (message.type === 'voteResponse' && !message.rejected) {
    return { text: `votes for ${message.to}`, isDurable: ({ hardState }) => hardState.vote === message.to };
  }
  if (message.type === 'appendResponse' && !message.rejected) {
    return { text: `acknowledges ${message.index}`, isDurable: (log) => log.lastIndex >= message.index };
  }
  // A refusal promises nothing but its term: who was told of it must not hear of an earlier one afterwards.
  if (message.type === 'voteResponse' || message.type === 'appendResponse')
    return { text: `refuses ${message.to}`, isDurable: () => true };
  return null;
}
