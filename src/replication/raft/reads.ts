import { LIMITS } from '../../base/limits.ts';
import { hasCommittedInTerm } from './commit.ts';
import { votersOf } from './configuration.ts';
import { sendHeartbeat } from './heartbeats.ts';
import { quorumReached } from './quorum.ts';
import type { ReadRequest } from './readRounds.ts';
import type { RaftState } from './state.ts';
import type { Message } from './types.ts';

/** Asks for a read barrier (Ongaro 2014, section 6.4); the answer is a ReadState. */
export function requestRead(state: RaftState, requestId: number): void {
  if (state.role === 'leader') return addRead(state, { from: null, requestId });
  if (state.leader === null || state.forwardedReads.count >= LIMITS.waitingReadsMax) {
    state.readStates.push({ requestId, index: null });
    return;
  }
  const wireId = state.forwardedReads.add({
    requestId,
    leader: state.leader,
    expiresTick: state.ticks + state.options.electionTicksMax,
  });
  state.send({
    type: 'readIndex',
    from: state.nodeId,
    to: state.leader,
    term: state.term,
    requestId: wireId,
  });
}

export function onReadIndex(state: RaftState, message: Extract<Message, { type: 'readIndex' }>): void {
  const request = { from: message.from, requestId: message.requestId };
  if (state.role === 'leader') addRead(state, request);
  else answer(state, request, null);
}

export function onReadIndexResponse(
  state: RaftState,
  message: Extract<Message, { type: 'readIndexResponse' }>,
): void {
  const requestId = state.forwardedReads.take(message.requestId, message.from);
  if (requestId === null) return state.drop('notExpected');
  state.readStates.push({ requestId, index: message.rejected ? null : message.index });
}

function addRead(state: RaftState, request: ReadRequest): void {
  if (state.readRounds.pendingCount >= LIMITS.waitingReadsMax) {
    state.drop('overloaded');
    return answer(state, request, null);
  }
  state.readRounds.add(request);
}

/**
 * Leader: all reads that wait become one round. Not before an entry of this term is committed (until then the commit
 * index may be behind what an earlier leader acknowledged).
 */
export function startReadRound(state: RaftState): void {
  if (state.role !== 'leader' || state.readRounds.waitingCount === 0) return;
  if (!hasCommittedInTerm(state)) return;
  if (state.readRounds.roundCount >= state.options.pendingReadRoundsMax) return;
  state.readRounds.start(state.log.commit);
  for (const voter of votersOf(state.configuration)) {
    const progress = state.peers.get(voter);
    if (progress !== undefined) sendHeartbeat(state, voter, progress);
  }
  confirmReads(state);
}

/** Leader: answers the rounds that a quorum of each active voter set has confirmed. Invariant 31. */
export function confirmReads(state: RaftState): void {
  if (state.readRounds.roundCount === 0) return;
  const confirmed = quorumReached(state.configuration, (voter) =>
    voter === state.nodeId ? state.readRounds.latest : state.readRounds.acknowledgedBy(voter),
  );
  for (const round of state.readRounds.takeConfirmed(confirmed)) {
    for (const request of round.requests) answer(state, request, round.index);
  }
}

function answer(state: RaftState, request: ReadRequest, index: number | null): void {
  if (request.from === null) {
    state.readStates.push({ requestId: request.requestId, index });
    return;
  }
  state.send({
    type: 'readIndexResponse',
    from: state.nodeId,
    to: request.from,
    term: state.term,
    requestId: request.requestId,
    index: index ?? 0,
    rejected: index === null,
  });
}

/** This node no longer leads: nothing that waits can be confirmed. Members notice by themselves. */
export function failLeaderReads(state: RaftState): void {
  for (const { from, requestId } of state.readRounds.clear()) {
    if (from === null) state.readStates.push({ requestId, index: null });
  }
}

export function failForwardedReads(state: RaftState): void {
  for (const requestId of state.forwardedReads.clear()) state.readStates.push({ requestId, index: null });
}

export function expireForwardedReads(state: RaftState): void {
  for (const requestId of state.forwardedReads.takeExpired(state.ticks)) {
    state.readStates.push({ requestId, index: null });
  }
}
