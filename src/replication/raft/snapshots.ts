import { assert } from '../../base/assert.ts';
import { checkConfiguration } from './configuration.ts';
import { sameHash } from './entryHash.ts';
import { followLeader } from './follower.ts';
import { becomeFollower } from './roles.ts';
import type { RaftState } from './state.ts';
import { suspectMark } from './suspicion.ts';
import type { Message, SnapshotMetadata } from './types.ts';

type SnapshotOffer = Extract<Message, { type: 'snapshotOffer' }>;

/** The leader no longer has what this node needs next: the host is asked to pull a snapshot. */
export function onSnapshotOffer(state: RaftState, message: SnapshotOffer): void {
  followLeader(state, message.from);
  const known = state.configuration.voters.length > 0;
  if (known && message.index <= state.log.commit) {
    acknowledgeUpTo(state, message.from, state.log.commit);
    return;
  }
  const pending = state.snapshotPending;
  if (pending !== null && pending.from === message.from && pending.index >= message.index) return;
  state.snapshotPending = { from: message.from, index: message.index };
  state.snapshotAnnounced = false;
}

/**
 * The host holds a verified snapshot. Invariant 20: it is taken only when it is ahead of what is applied.
 * @returns whether the host has to go on from the snapshot's state; false: its own state is as new, keep that
 */
export function snapshotFetched(state: RaftState, metadata: SnapshotMetadata): boolean {
  state.snapshotPending = null;
  const { log } = state;
  const invalid = checkConfiguration(metadata.configuration);
  assert(invalid === null, `I18: snapshot at ${metadata.index}: ${invalid ?? ''}`);
  const unjoined = state.configuration.voters.length === 0;
  const fromNothing = unjoined || state.stateMissing;
  if (metadata.index <= log.handedOut && !(fromNothing && metadata.index === log.handedOut)) return false;
  if (metadata.term > state.term) becomeFollower(state, metadata.term, null);
  const own = log.at(metadata.index);
  const equal = own !== null && own.term === metadata.term && sameHash(own.hash, metadata.hash);
  assert(
    equal || metadata.index > log.commit,
    `I24: the snapshot at ${metadata.index} differs from the committed log`,
  );
  if (equal) {
    log.fastForward(metadata.index);
    state.commitTerm = state.term;
    if (metadata.index === log.base.index) state.baseConfiguration = metadata.configuration;
  } else {
    log.replaceBy(metadata);
    state.durability.replacedBy(metadata.index);
    state.commitTerm = state.term;
    state.baseConfiguration = metadata.configuration;
    state.snapshotToPersist = metadata;
  }
  state.configuration = metadata.configuration;
  state.stateMissing = false;
  if (state.leader !== null) acknowledgeUpTo(state, state.leader, metadata.index);
  return true;
}

export function snapshotFailed(state: RaftState): void {
  const pending = state.snapshotPending;
  state.snapshotPending = null;
  if (pending === null || state.leader !== pending.from) return;
  state.send({
    type: 'snapshotFailed',
    from: state.nodeId,
    to: pending.from,
    term: state.term,
    index: pending.index,
  });
}

function acknowledgeUpTo(state: RaftState, to: SnapshotOffer['from'], index: number): void {
  state.sendAfterPersist({
    type: 'appendResponse',
    from: state.nodeId,
    to,
    term: state.term,
    index,
    rejected: false,
    hint: { index: 0, term: 0 },
    ...suspectMark(state),
  });
}
