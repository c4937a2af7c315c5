import { assert } from '../../base/assert.ts';
import type { NodeId } from '../../base/ids.ts';
import { commitTo } from './commit.ts';
import { sameHash } from './entryHash.ts';
import type { LogBase } from './log.ts';
import { askForState } from './missingState.ts';
import { becomeFollower, setLeader } from './roles.ts';
import type { RaftState } from './state.ts';
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
  commitTo(state, message.commit);
  state.send({
    type: 'heartbeatResponse',
    from: state.nodeId,
    to: message.from,
    term: state.term,
    round: message.round,
  });
}

/**
 * Invariant 6: commits only what an append of this term has compared. Overtaking its append, or meeting a node that
 * has forgotten by a restart what it compared, the news is worth nothing; appends and heartbeats repeat it.
 */
export function onCommit(state: RaftState, message: Extract<Message, { type: 'commit' }>): void {
  followLeader(state, message.from);
  commitTo(state, Math.min(message.commit, comparedThrough(state)));
}

/** The last index at which this log is known to equal that of this term's leader. */
function comparedThrough({ compared, term }: RaftState): number {
  return compared.term === term ? compared.index : 0;
}

/** The gate has seen that the entries follow each other: number, term and hash (invariant 3). */
export function onAppend(state: RaftState, message: Append): void {
  followLeader(state, message.from);
  if (state.configuration.voters.length === 0 && !state.stateMissing) {
    // Changes alone do not tell a new node who the first members were: it starts from a snapshot.
    return respond(state, message.from, { index: 0, rejected: true, hint: { index: 0, term: 0 } });
  }
  const above = aboveBase(state, message);
  if (above === null) return accept(state, message.from, state.log.commit);
  const { previous, entries } = above;
  if (!matches(state, previous)) {
    const hint = state.log.lastAtOrBelowTerm(
      Math.min(previous.index - 1, state.log.lastIndex),
      previous.term,
    );
    return respond(state, message.from, { index: previous.index, rejected: true, hint });
  }
  const fresh = entries.slice(state.log.knownPrefix(entries));
  const [first] = fresh;
  if (first !== undefined) {
    if (first.index <= state.log.lastIndex) cutFrom(state, first);
    for (const entry of fresh) state.log.append(entry);
  }
  const lastNew = previous.index + entries.length;
  // Invariant 6: what lies behind the new entries was not compared with the leader's log.
  commitTo(state, Math.min(message.commit, lastNew));
  state.compared = { term: state.term, index: Math.max(comparedThrough(state), lastNew) };
  accept(state, message.from, lastNew);
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
  state.sendAfterPersist({ type: 'appendResponse', from: state.nodeId, to, term: state.term, ...response });
}
