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
  retrySoon,
  retryTicksMin,
  tryNext,
} from './roles.ts';
import type { RaftState } from './state.ts';
import type { Message, Place } from './types.ts';

type VoteRequest = Extract<Message, { type: 'vote' | 'preVote' }>;
type VoteResponse = Extract<Message, { type: 'voteResponse' | 'preVoteResponse' }>;

/** Whether this node may try to lead. Invariants 16 (voters only), 19 (configuration known), 20 (no snapshot pending); a log that is not suspect. */
export function mayCampaign(state: RaftState): boolean {
  return (
    isVoter(state.configuration, state.nodeId) &&
    state.snapshotPending === null &&
    !state.stateMissing &&
    state.suspicion === null &&
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

/** Whether a log that ends at `last` is not behind one that ends at `own`. */
function isUpToDate(last: Place, own: Place): boolean {
  return last.term > own.term || (last.term === own.term && last.index >= own.index);
}

/**
 * Whether a log that ends at `last` may lead, as far as this node can say (Raft, section 5.4.1).
 *
 * When this node knows that it is no voter any more, and its log says nothing newer about members, it is enough that
 * the candidate holds what this node knows to be committed. Else a leader that removed itself, and holds entries of its
 * own that nobody else has, could refuse the last vote that the others need to finish the removal, for ever.
 *
 * Why that is safe. Let N be the entry that took this node out; it is applied here. A log that ends in a term later than
 * the one in which a leader knew N to be committed, or in that term and not before the commit index, holds N. So does one
 * that ends in the very term of the entry at the commit index, and not before it: one leader made both. (A term in
 * between would not do: its leader may never have had N.) N was proposed only
 * once the joint configuration before it was applied, so that whoever holds N knows, also after a restart, that this is
 * committed, and campaigns only with it or a later one applied (invariant 19). So the candidate needs a majority of
 * voters of which this node is none, just as every entry above N does; and they compare their whole logs.
 */
function mayLead(state: RaftState, last: Place): boolean {
  const { log, configuration, commitTerm } = state;
  if (isUpToDate(last, log.last)) return true;
  const retired =
    configuration.voters.length > 0 &&
    !isVoter(configuration, state.nodeId) &&
    !log.hasUnappliedConfiguration(log.lastIndex);
  if (!retired) return false;
  const committed = present(log.at(log.commit), 'the committed place');
  const holdsCommitted = last.term === committed.term && last.index >= committed.index;
  return holdsCommitted || isUpToDate(last, { index: log.commit, term: commitTerm });
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
  const granted = free && state.suspicion === null && mayLead(state, message.last);
  // No message carries term 0, so a node that has not left it has nothing to tell.
  if (!granted && state.term === 0) return state.drop('notExpected');
  if (granted && !preVote) {
    assert(message.term === state.term, 'a vote is given in the current term');
    assert(state.vote === null || state.vote === message.from, 'I1: one vote in a term');
    state.vote = message.from;
    state.electionElapsed = 0;
  }
  if (preVote && isBetterPlaced(state, message.last)) tryNext(state);
  state.sendAfterPersist({
    type: preVote ? 'preVoteResponse' : 'voteResponse',
    from: state.nodeId,
    to: message.from,
    // A granted pre-vote speaks for the term asked about; a refusal tells the term that this node is in.
    term: granted ? message.term : state.term,
    rejected: !granted,
  });
}

/**
 * Another node asks that has waited long enough, and cannot win against this node's log: it is this node's turn, not
 * only when its own timeout is over. Not while somebody leads or may just be winning.
 */
function isBetterPlaced(state: RaftState, last: Place): boolean {
  if (state.role !== 'follower' || isUpToDate(last, state.log.last) || !mayCampaign(state)) return false;
  const { electionTicksMin } = state.options;
  return state.electionElapsed >= (state.leader === null ? retryTicksMin(state) : electionTicksMin);
}

export function onVoteResponse(state: RaftState, message: VoteResponse): void {
  const expected = message.type === 'voteResponse' ? 'candidate' : 'preCandidate';
  if (state.role !== expected) return state.drop('notExpected');
  if (!state.votes.has(message.from)) state.votes.set(message.from, !message.rejected);
  evaluate(state);
  // The vote is split, perhaps, and who could decide it is down: that is not waited for as long as for a disk.
  if (message.rejected && state.role === 'candidate') retrySoon(state);
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
    retrySoon(state);
  } else if (result === 'won') {
    if (state.role === 'preCandidate') startElection(state, false);
    else if (state.votes.get(state.nodeId) === true) becomeLeader(state);
  }
}
