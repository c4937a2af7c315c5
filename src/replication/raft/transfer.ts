import type { NodeId } from '../../base/ids.ts';
import { campaign } from './election.ts';
import type { TransferOutcome } from './options.ts';
import type { RaftState } from './state.ts';
import type { Message } from './types.ts';

/** Hands leadership over (Ongaro 2014, section 3.10). Invariant 21. */
export function transferLeadership(state: RaftState, target: NodeId): TransferOutcome {
  if (state.role !== 'leader') {
    if (state.leader === null) return 'noLeader';
    state.send({ type: 'transferLeader', from: state.nodeId, to: state.leader, term: state.term, target });
    return 'forwarded';
  }
  if (target === state.nodeId || !state.configuration.voters.includes(target)) return 'invalid';
  if (state.transfer?.target === target) return 'started';
  state.transfer = { target, startedTick: state.ticks, sent: false };
  state.replicationDue = true;
  continueTransfer(state, target);
  return 'started';
}

export function onTransferLeader(
  state: RaftState,
  message: Extract<Message, { type: 'transferLeader' }>,
): void {
  if (state.role !== 'leader') return state.drop('notLeader');
  if (transferLeadership(state, message.target) === 'invalid') state.drop('notPromotable');
}

/** As soon as the target holds the whole log it may start its election. */
export function continueTransfer(state: RaftState, nodeId: NodeId): void {
  const { transfer } = state;
  if (transfer === null || transfer.sent || transfer.target !== nodeId) return;
  if (state.peers.get(nodeId)?.match !== state.log.lastIndex) return;
  transfer.sent = true;
  state.send({ type: 'timeoutNow', from: state.nodeId, to: nodeId, term: state.term });
}

/** Given up after one election timeout, or when the target is no voter any more: proposals are accepted again. */
export function expireTransfer(state: RaftState): void {
  const { transfer } = state;
  if (transfer === null) return;
  const late = state.ticks - transfer.startedTick >= state.options.electionTicksMin;
  if (late || !state.configuration.voters.includes(transfer.target)) state.transfer = null;
}

export function onTimeoutNow(state: RaftState, message: Extract<Message, { type: 'timeoutNow' }>): void {
  if (state.leader !== message.from) return state.drop('notExpected');
  campaign(state, { transfer: true });
}
