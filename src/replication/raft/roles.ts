import { assert } from '../../base/assert.ts';
import type { NodeId, Term } from '../../base/ids.ts';
import { isVoter } from './configuration.ts';
import { entryBytes } from './log.ts';
import { syncPeers } from './peers.ts';
import { appendOwn } from './proposals.ts';
import { failForwardedReads, failLeaderReads } from './reads.ts';
import type { RaftState } from './state.ts';

/** Steps back, into `term` when that is a later one. Invariant 1. */
export function becomeFollower(state: RaftState, term: Term, leader: NodeId | null): void {
  enterTerm(state, term);
  state.role = 'follower';
  reset(state);
  setLeader(state, leader);
}

/** Asks around whether an election could be won. Invariant 14: changes neither term nor vote. */
export function becomePreCandidate(state: RaftState): void {
  assert(state.role !== 'leader', 'a leader does not campaign');
  state.role = 'preCandidate';
  reset(state);
  setLeader(state, null);
  retrySoon(state);
}

/** A new term, with the own vote given; it counts once it is durable (election.ts). */
export function becomeCandidate(state: RaftState): void {
  assert(state.role !== 'leader', 'a leader does not campaign');
  enterTerm(state, state.term + 1);
  state.role = 'candidate';
  reset(state);
  setLeader(state, null);
  state.vote = state.nodeId;
}

/** Won: starts with an empty entry, since only an entry of the own term may be counted as committed (invariant 9). */
export function becomeLeader(state: RaftState): void {
  assert(state.role === 'candidate', 'only a candidate becomes leader');
  assert(isVoter(state.configuration, state.nodeId), 'I16: only a voter becomes leader');
  state.role = 'leader';
  reset(state);
  setLeader(state, state.nodeId);
  // Invariant 17: any entry not yet applied may be a configuration; none is proposed before all are applied.
  state.pendingConfigurationIndex = state.log.lastIndex;
  state.uncommittedBytes = 0;
  for (let index = state.log.commit + 1; index <= state.log.lastIndex; index += 1) {
    const entry = state.log.entryAt(index);
    if (entry !== null) state.uncommittedBytes += entryBytes(entry);
  }
  syncPeers(state);
  appendOwn(state, 'empty', () => new Uint8Array(0));
}

/** Reads sent to another leader, or to one of an earlier term, can no longer be answered. */
export function setLeader(state: RaftState, leader: NodeId | null): void {
  if (state.leader === leader) return;
  state.leader = leader;
  failForwardedReads(state);
}

/** Draws the next election timeout: different on every node, so that one usually comes first. */
export function restartElectionTimer(state: RaftState): void {
  const { electionTicksMin: min, electionTicksMax: max } = state.options;
  state.electionElapsed = 0;
  state.electionTimeout = state.options.random.integer({ min, max });
}

/**
 * Where no leader is known, who is ready to lead asks around sooner than after a full timeout: at the start of a
 * process, when nobody answered, and after an election without a winner. To ask is harmless (invariant 14), and only
 * who has not heard of a leader for the shortest timeout agrees.
 */
export function retrySoon(state: RaftState): void {
  const { electionTicksMin } = state.options;
  state.electionElapsed = 0;
  state.electionTimeout = state.options.random.integer({
    min: retryTicksMin(state),
    max: Math.max(electionTicksMin, retryTicksMin(state) + 1),
  });
}

/** The next try of a node that may wait no longer than others for its turn. */
export function tryNext(state: RaftState): void {
  const inTicks = state.options.random.integer({ min: 1, max: retryTicksMin(state) + 1 });
  state.electionTimeout = Math.min(state.electionTimeout, state.electionElapsed + inTicks);
}

/** A round of questions and answers, between nodes that are far from each other too, fits into this. */
export function retryTicksMin({ options }: RaftState): number {
  return Math.max(1, Math.floor(options.electionTicksMin / 4));
}

function enterTerm(state: RaftState, term: Term): void {
  assert(term >= state.term, `I1: term ${state.term} would fall to ${term}`);
  if (term === state.term) return;
  state.term = term;
  state.vote = null;
  failForwardedReads(state);
}

function reset(state: RaftState): void {
  state.votes.clear();
  state.peers.clear();
  state.transfer = null;
  state.uncommittedBytes = 0;
  state.heartbeatElapsed = 0;
  state.replicationDue = false;
  failLeaderReads(state);
  restartElectionTimer(state);
}
