import { LIMITS } from '../../base/limits.ts';
import { refuseAppend } from './appendChecks.ts';
import { isMember } from './configuration.ts';
import { leaderHeardRecently } from './election.ts';
import type { DropReason } from './options.ts';
import { becomeFollower } from './roles.ts';
import type { RaftState } from './state.ts';
import type { Message, MessageType } from './types.ts';
import { isWellFormed } from './validation.ts';

/** Only a node that won an election sends these: they prove who leads. */
const LEADER_MESSAGES: ReadonlySet<MessageType> = new Set(['append', 'commit', 'heartbeat', 'snapshotOffer']);
const VOTE_REQUESTS: ReadonlySet<MessageType> = new Set(['vote', 'preVote']);

/**
 * What happens before a message's own handler: may the sender speak, and what does its term mean.
 * @returns whether the handler is to run
 */
export function admit(state: RaftState, message: Message): boolean {
  if (message.term > state.term) return admitLaterTerm(state, message);
  if (message.term < state.term) return admitEarlierTerm(state, message);
  return true;
}

/**
 * Invariant 15: who is not in our configuration cannot change our term. Two exceptions, both safe: vote requests are
 * judged by the candidate's configuration, and a leader's own messages prove an election that was won under a
 * configuration which may be newer than ours (a member that slept through the change must be able to follow it).
 */
function isKnown(state: RaftState, message: Message): boolean {
  const known = state.configuration.voters.length === 0 || isMember(state.configuration, message.from);
  return known || LEADER_MESSAGES.has(message.type) || VOTE_REQUESTS.has(message.type);
}

/**
 * Why a message is not even looked at, or null. Nothing of this node has changed then, and nothing of what the message
 * says is believed: what no peer in order sends must neither change a term, nor cut a log, nor stop this node. That is
 * left to what proves that this log or the cluster's is damaged (invariants 5, 7 and 24).
 */
export function refuse(state: RaftState, message: Message): DropReason | null {
  if (!isWellFormed(message)) return 'malformed';
  if (message.to !== state.nodeId || message.from === state.nodeId) return 'misaddressed';
  if (!isKnown(state, message)) return 'unknownSender';
  // Late messages of an earlier term are as true as they ever were; the term answers them.
  if (message.term < state.term) return null;
  if (jumps(state, message)) return 'termJump';
  if (message.type === 'timeoutNow' && !isLedBy(state, message)) return 'notExpected';
  if (!LEADER_MESSAGES.has(message.type)) return null;
  if (isRival(state, message)) return 'rivalLeader';
  if (message.type === 'heartbeat' && isCommitUnproven(state, message)) return 'commitUnproven';
  return message.type === 'append' ? refuseAppend(state, message) : null;
}

/**
 * A term goes up by one with each election, so that no node ever lags that far behind; a broken number taken for a
 * term would be everybody's soon, and at the end of the numbers nobody could be elected any more. A node that has not
 * joined yet has no term of its own to compare with.
 */
function jumps({ term, configuration }: RaftState, message: Message): boolean {
  return configuration.voters.length > 0 && message.term - term > LIMITS.termJumpMax;
}

/** A leader hands over only to whom it has heard in its own term. */
function isLedBy(state: RaftState, message: Message): boolean {
  return message.term === state.term && state.leader === message.from;
}

/**
 * Invariant 23. One message does not prove that two were elected. Whom this node follows in a term it has chosen with
 * the first message, and a leader follows itself; a second one is not followed, which is safe whoever of the two is false.
 */
function isRival(state: RaftState, message: Message): boolean {
  return message.term === state.term && state.leader !== null && state.leader !== message.from;
}

/**
 * Invariant 7. A leader tells no commit index beyond what this node has acknowledged to it, and in a term that began
 * while this process runs, it remembers what that was: a higher one is not true. In the term that it started in, the
 * leader may know of entries that the log has lost since; then the index stands, and makes this log suspect.
 */
function isCommitUnproven(state: RaftState, message: Extract<Message, { type: 'heartbeat' }>): boolean {
  if (message.term <= state.options.initial.hardState.term) return false;
  const acknowledged = state.compared.term === message.term ? state.compared.index : 0;
  return message.commit > Math.max(acknowledged, state.log.commit);
}

function admitLaterTerm(state: RaftState, message: Message): boolean {
  if (message.type === 'vote' || message.type === 'preVote') {
    if (!message.transfer && leaderHeardRecently(state)) {
      state.drop('sticky');
      return false;
    }
    // Invariant 14: a pre-vote changes nothing here.
    if (message.type === 'preVote') return true;
  }
  // A granted pre-vote answers for the term that we asked about, not for one that anybody is in.
  if (message.type === 'preVoteResponse' && !message.rejected) return true;
  const leader = LEADER_MESSAGES.has(message.type) ? message.from : null;
  becomeFollower(state, message.term, leader);
  return true;
}

function admitEarlierTerm(state: RaftState, message: Message): boolean {
  if (LEADER_MESSAGES.has(message.type)) {
    // A leader that was cut off must hear of the later term, or with PreVote nobody could ever rejoin.
    // (This answer says nothing about the log, so it does no harm if it arrives when that node leads again.)
    state.send({
      type: 'heartbeatResponse',
      from: state.nodeId,
      to: message.from,
      term: state.term,
      round: 0,
    });
  } else if (message.type === 'preVote') {
    state.sendAfterPersist({
      type: 'preVoteResponse',
      from: state.nodeId,
      to: message.from,
      term: state.term,
      rejected: true,
    });
  }
  state.drop('staleTerm');
  return false;
}
