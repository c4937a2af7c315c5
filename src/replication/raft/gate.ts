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
  const refused = refuse(state, message);
  if (refused !== null) {
    state.drop(refused);
    return false;
  }
  if (message.term > state.term) return admitLaterTerm(state, message);
  if (message.term < state.term) return admitEarlierTerm(state, message);
  return true;
}

/**
 * Invariant 15: who is not in our configuration cannot change our term. Two exceptions, both safe: vote requests are
 * judged by the candidate's configuration, and a leader's own messages prove an election that was won under a
 * configuration which may be newer than ours (a member that slept through the change must be able to follow it).
 */
function refuse(state: RaftState, message: Message): DropReason | null {
  if (!isWellFormed(message)) return 'malformed';
  if (message.to !== state.nodeId || message.from === state.nodeId) return 'misaddressed';
  const known = state.configuration.voters.length === 0 || isMember(state.configuration, message.from);
  if (known || LEADER_MESSAGES.has(message.type) || VOTE_REQUESTS.has(message.type)) return null;
  return 'unknownSender';
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
