import { assert } from '../../base/assert.ts';
import type { NodeId } from '../../base/ids.ts';
import { commitTo } from './commit.ts';
import { sameHash } from './entryHash.ts';
import type { LogBase } from './log.ts';
import { askForState } from './missingState.ts';
import { becomeFollower, setLeader } from './roles.ts';
import type { RaftState } from './state.ts';
import { becomeSuspect, heedNotice, knownThrough, noteReplicated, suspectMark } from './suspicion.ts';
import type { Entry, Message, Place } from './types.ts';

type Append = Extract<Message, { type: 'append' }>;

/** A message that only the leader of this term sends: whoever sent it leads. */
export function followLeader(state: RaftState, leader: NodeId): void {
  assert(state.role !== 'leader', `I23: ${leader} leads term ${state.term} too`);
  assert(
    state.leader === null || state.leader === leader,
    `I23: ${state.leader ?? ''} and ${leader} both lead term ${state.term}`,
  );
  if (state.role !== 'follower') becomeFollower(state, state.term, leader);
  setLeader(state, leader);
  state.electionElapsed = 0;
  askForState(state, leader);
}

export function onHeartbeat(state: RaftState, message: Extract<Message, { type: 'heartbeat' }>): void {
  followLeader(state, message.from);
  const { commit } = message;
  // Invariant 7: the leader tells what this node has acknowledged in this term, and it is not here any more.
  if (commit > state.log.lastIndex && state.suspicion === null) {
    becomeSuspect(state, { index: commit, term: state.term });
  }
  // Invariant 6: what this log holds need not be what it held when that was acknowledged.
  commitTo(state, Math.min(commit, state.suspicion === null ? knownThrough(state) : state.comparedThrough));
  state.send({
    type: 'heartbeatResponse',
    from: state.nodeId,
    to: message.from,
    term: state.term,
    // A read is not confirmed by a node that may have forgotten a later leader. 0 is before all rounds.
    round: state.suspicion === null ? message.round : 0,
  });
  if (state.suspicion?.announced === false) announceSuspicion(state, message.from);
}

/** A leader that has nothing to append would not learn of it. Refuses, unasked, what would come next. */
function announceSuspicion(state: RaftState, leader: NodeId): void {
  const { last } = state.log;
  const hint = { index: last.index, term: last.term };
  respond(state, leader, { index: last.index + 1, rejected: true, hint });
}

/**
 * Invariant 6: commits only what an append of this term has compared. Overtaking its append, or meeting a node that
 * has forgotten by a restart what it compared, the news is worth nothing; appends and heartbeats repeat it.
 */
export function onCommit(state: RaftState, message: Extract<Message, { type: 'commit' }>): void {
  followLeader(state, message.from);
  commitTo(state, Math.min(message.commit, state.comparedThrough));
}

/** The gate has seen that the entries follow each other: number, term and hash (invariant 3). */
export function onAppend(state: RaftState, message: Append): void {
  followLeader(state, message.from);
  if (state.configuration.voters.length === 0 && !state.stateMissing) {
    // Changes alone do not tell a new node who the first members were: it starts from a snapshot.
    return respond(state, message.from, { index: 0, rejected: true, hint: { index: 0, term: 0 } });
  }
  const above = aboveBase(state, message);
  if (above === null) {
    heedNotice(state, message.suspicion);
    return accept(state, message.from, state.log.commit);
  }
  const { previous, entries } = above;
  if (!matches(state, previous)) {
    heedNotice(state, message.suspicion);
    if (state.held.entries && state.comparedThrough > 0 && previous.index > state.log.lastIndex) {
      // Invariant 41: refused, the leader would send all of it again at once, for nothing. It learns what is here.
      return accept(state, message.from, state.comparedThrough);
    }
    const hint = state.log.lastAtOrBelowTerm(
      Math.min(previous.index - 1, state.log.lastIndex),
      previous.term,
    );
    return respond(state, message.from, { index: previous.index, rejected: true, hint });
  }
  const fresh = entries.slice(state.log.knownPrefix(entries));
  const taken = state.held.entries ? [] : fresh;
  const [first] = taken;
  if (first !== undefined) {
    if (first.index <= state.log.lastIndex) cutFrom(state, first);
    for (const entry of taken) state.log.append(entry);
  }
  const lastNew = previous.index + entries.length - fresh.length + taken.length;
  // Invariant 6: what lies behind the new entries was not compared with the leader's log.
  commitTo(state, Math.min(message.commit, lastNew));
  state.compared = { term: state.term, index: Math.max(state.comparedThrough, lastNew) };
  heedNotice(state, message.suspicion);
  noteReplicated(state, message.suspicion, { leader: message.from, index: lastNew });
  // A leader that does not count this node wants to know all that it holds, not only what came last.
  accept(state, message.from, message.suspicion === undefined ? lastNew : knownThrough(state));
}

/** The part of an append that lies above what is compacted here; null when there is none. */
function aboveBase(
  state: RaftState,
  message: Append,
): { previous: LogBase; entries: readonly Entry[] } | null {
  const { base } = state.log;
  const previous = { ...message.previous, hash: message.previousHash };
  const below = base.index - previous.index;
  if (below <= 0) return { previous, entries: message.entries };
  const atBase = message.entries[below - 1];
  if (atBase === undefined) return null;
  assert(
    atBase.term === base.term && sameHash(atBase.hash, base.hash),
    `I5: the leader's entry ${base.index} differs from the compacted one`,
  );
  return { previous: base, entries: message.entries.slice(below) };
}

function matches(state: RaftState, previous: LogBase): boolean {
  const own = state.log.at(previous.index);
  if (own === null) return false;
  const equal = own.term === previous.term && sameHash(own.hash, previous.hash);
  assert(
    equal || previous.index > state.log.commit,
    `I24: the committed entry ${previous.index} differs from the leader's (terms ${own.term} and ${previous.term})`,
  );
  return equal;
}

function cutFrom(state: RaftState, first: Entry): void {
  state.log.truncateFrom(first.index);
  state.durability.cutFrom(first.index);
}

function accept(state: RaftState, to: NodeId, index: number): void {
  respond(state, to, { index, rejected: false, hint: { index: 0, term: 0 } });
}

function respond(
  state: RaftState,
  to: NodeId,
  response: { index: number; rejected: boolean; hint: Place },
): void {
  state.sendAfterPersist({
    type: 'appendResponse',
    from: state.nodeId,
    to,
    term: state.term,
    ...response,
    ...suspectMark(state),
  });
}
