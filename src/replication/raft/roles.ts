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
