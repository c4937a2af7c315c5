import { unreachable } from '../../base/assert.ts';
import { onVoteRequest, onVoteResponse } from './election.ts';
import { onAppend, onCommit, onHeartbeat } from './follower.ts';
import { onReadIndex, onReadIndexResponse } from './reads.ts';
import { onAppendResponse, onHeartbeatResponse, onSnapshotFailed } from './replication.ts';
import { onSnapshotOffer } from './snapshots.ts';
import type { RaftState } from './state.ts';
import { onTimeoutNow, onTransferLeader } from './transfer.ts';
import type { Message } from './types.ts';

/** One handler per message; the handler looks at the role. */
export function dispatch(state: RaftState, message: Message): void {
  switch (message.type) {
    case 'append':
      return onAppend(state, message);
    case 'appendResponse':
      return onAppendResponse(state, message);
    case 'commit':
      return onCommit(state, message);
    case 'heartbeat':
      return onHeartbeat(state, message);
    case 'heartbeatResponse':
      return onHeartbeatResponse(state, message);
    case 'vote':
    case 'preVote':
      return onVoteRequest(state, message);
    case 'voteResponse':
    case 'preVoteResponse':
      return onVoteResponse(state, message);
    case 'snapshotOffer':
      return onSnapshotOffer(state, message);
    case 'snapshotFailed':
      return onSnapshotFailed(state, message);
    case 'readIndex':
      return onReadIndex(state, message);
    case 'readIndexResponse':
      return onReadIndexResponse(state, message);
    case 'timeoutNow':
      return onTimeoutNow(state, message);
    case 'transferLeader':
      return onTransferLeader(state, message);
    default:
      return unreachable(message, 'message');
  }
}
