import { assert, present } from '../../base/assert.ts';
import type { NodeId } from '../../base/ids.ts';
import { isVoter, votersOf } from './configuration.ts';
import { voteResult } from './quorum.ts';
import {
  becomeCandidate,
  becomeFollower,
  becomeLeader,
  becomePreCandidate,
  restartElectionTimer,
} from './roles.ts';
import type { RaftState } from './state.ts';
import type { Message, Place } from './types.ts';

type VoteRequest = Extract<Message, { type: 'vote' | 'preVote' }>;
type VoteResponse = Extract<Message, { type: 'voteResponse' | 'preVoteResponse' }>;

/** Whether this node may try to lead. Invariants 16 (voters only), 19 (configuration known), 20 (no snapshot pending). */
export function mayCampaign(state: RaftState): boolean {
  return (
    isVoter(state.configuration, state.nodeId) &&
    state.snapshotPending === null &&
    !state.stateMissing &&
    !state.log.hasUnappliedConfiguration(state.log.commit)
  );
}

/** Starts an election; a transfer skips the pre-vote, since the old leader asked for it. */
export function campaign(state: RaftState, options: { transfer: boolean }): void {
  if (state.role === 'leader') return;
  if (!mayCampaign(state)) {
    state.drop('notPromotable');
    restartElectionTimer(state);
    return;
  }
  if (options.transfer) startElection(state, true);
  else startPreVote(state);
}

/** Whether the leader is alive as far as this node knows: then nobody needs votes (Ongaro 2014, section 4.2.3). */
export function leaderHeardRecently(state: RaftState): boolean {
  return (
    state.role === 'leader' ||
    (state.leader !== null && state.electionElapsed < state.options.electionTicksMin)
  );
}

function startPreVote(state: RaftState): void {
  becomePreCandidate(state);
  state.votes.set(state.nodeId, true);
  for (const to of otherVoters(state)) {
    state.send({
      type: 'preVote',
      from: state.nodeId,
      to,
      term: state.term + 1,
      last: { index: state.log.last.index, term: state.log.last.term },
      transfer: false,
    });
  }
  evaluate(state);
}

function startElection(state: RaftState, transfer: boolean): void {
  becomeCandidate(state);
  // After the write: a candidate that forgot its term could win the same term twice, with two different logs.
  for (const to of otherVoters(state)) {
    state.sendAfterPersist({
      type: 'vote',
      from: state.nodeId,
      to,
      term: state.term,
      last: { index: state.log.last.index, term: state.log.last.term },
      transfer,
    });
  }
}

function otherVoters(state: RaftState): NodeId[] {
  return votersOf(state.configuration).filter((voter) => voter !== state.nodeId);
}

/** Whether a log that ends at `last` may lead one that ends at `own` (Raft, section 5.4.1). */
function isUpToDate(last: Place, own: Place): boolean {
  return last.term > own.term || (last.term === own.term && last.index >= own.index);
}

/**
 * What a candidate's log is compared with: the end of this node's log. But when this node knows that it is no voter
 * any more, and its log says nothing newer about members, only its committed part counts: what it holds above that
 * cannot be committed without a majority of the voters that remain, and they judge the candidate too. Else a leader
 * that removed itself, and holds entries of its own that nobody else has, could refuse the last vote that the others
 * need to finish the removal, for ever.
 */
function votingPlace(state: RaftState): Place {
  const { log, configuration } = state;
  const retired =
    configuration.voters.length > 0 &&
    !isVoter(configuration, state.nodeId) &&
    !log.hasUnappliedConfiguration(log.lastIndex);
  return retired ? present(log.at(log.commit), 'the committed place') : log.last;
}

/**
 * Judged by the candidate's configuration: this node answers even if it believes to be a learner or no member, since
 * its own configuration may be the older one (invariant 15).
 */
export function onVoteRequest(state: RaftState, message: VoteRequest): void {
  const preVote = message.type === 'preVote';
  const free =
    state.vote === message.from ||
    (state.vote === null && state.leader === null) ||
    (preVote && message.term > state.term);
  const granted = free && isUpToDate(message.last, votingPlace(state));
  if (granted && !preVote) {
    assert(message.term === state.term, 'a vote is given in the current term');
    assert(state.vote === null || state.vote === message.from, 'I1: one vote in a term');
    state.vote = message.from;
    state.electionElapsed = 0;
  }
  state.sendAfterPersist({
    type: preVote ? 'preVoteResponse' : 'voteResponse',
    from: state.nodeId,
    to: message.from,
    // A granted pre-vote speaks for the term asked about; a refusal tells the term that this node is in.
    term: granted ? message.term : state.term,
    rejected: !granted,
  });
}

export function onVoteResponse(state: RaftState, message: VoteResponse): void {
  const expected = message.type === 'voteResponse' ? 'candidate' : 'preCandidate';
  if (state.role !== expected) return state.drop('notExpected');
  if (!state.votes.has(message.from)) state.votes.set(message.from, !message.rejected);
  evaluate(state);
}

/** The own vote is on the disk: from now on it counts. */
export function onOwnVoteDurable(state: RaftState): void {
  const { term, vote } = state.durability.durable;
  if (state.role !== 'candidate' || term !== state.term || vote !== state.nodeId) return;
  state.votes.set(state.nodeId, true);
  evaluate(state);
}

function evaluate(state: RaftState): void {
  const result = voteResult(state.configuration, state.votes);
  if (result === 'lost') {
    becomeFollower(state, state.term, null);
  } else if (result === 'won') {
    if (state.role === 'preCandidate') startElection(state, false);
    else if (state.votes.get(state.nodeId) === true) becomeLeader(state);
  }
}
