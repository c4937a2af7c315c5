import type { HardState } from '../raft/types.ts';
import { readBatches, readHeader } from './codec.ts';
import { findFrame, frameAt } from './frame.ts';
import { EMPTY_STAND, type LogStand } from './logShape.ts';
import type { ChainEnd } from './types.ts';

/** Where a log stops being sound, and what it says nevertheless. */
export interface Damage {
  /** The segment with the damage; one that is missing, or the first one that is not needed to be sound, has offset 0. */
  readonly sequence: number;
  /** The bytes of the segment before this offset are sound and belong to the log. */
  readonly offset: number;
  /** Where and what, for people. */
  readonly reason: string;
  /** Older segments that were being removed: no part of the log, damaged or not. */
  readonly leftOver: readonly number[];
  /** The most that any sound record claims, before the damage or behind it. */
  readonly claims: Claims;
}

/** How far a log says to have come: what its node may have promised. */
export interface Claims {
  readonly hardState: HardState;
  readonly last: ChainEnd;
}

export const NO_CLAIMS: Claims = EMPTY_STAND;

/** The later of two hard states; within a term a vote is never lost. The commit index is that of the first. */
export function laterHardState(one: HardState, other: HardState): HardState {
  if (one.term > other.term) return one;
  const vote = one.term === other.term ? (one.vote ?? other.vote) : other.vote;
  return { term: other.term, vote, commit: one.commit };
}

/**
 * Of two places the one with the higher index, in the later term of both: whoever has not been told everything up to
 * there by a leader of that term or a later one may have promised more than it holds.
 */
export function furtherPlace(one: ChainEnd, other: ChainEnd): ChainEnd {
  const further = other.index > one.index ? other : one;
  return { ...further, term: Math.max(one.term, other.term) };
}

export function mergeClaims(one: Claims, other: Claims): Claims {
  return {
    hardState: laterHardState(one.hardState, other.hardState),
    last: furtherPlace(one.last, other.last),
  };
}

/** What the sound records of a segment claim from `from` on, whatever lies between them. */
export function claimsBehind(segment: Buffer, from: number, sequence: number): Claims {
  let claims = headerClaims(segment, from, sequence);
  for (let offset = from; ; ) {
    const found = findFrame(segment, offset, { type: 'batch', segment: sequence });
    if (found === null) return claims;
    const { body, end } = frameAt(segment, found);
    claims = mergeClaims(claims, batchClaims(body));
    offset = end;
  }
}

function headerClaims(segment: Buffer, from: number, sequence: number): Claims {
  if (from > 0 || findFrame(segment, 0, { type: 'header', segment: sequence }) !== 0) return NO_CLAIMS;
  return decoded(() => {
    const { stand } = readHeader(frameAt(segment, 0).body);
    return stand ?? NO_CLAIMS;
  });
}

function batchClaims(body: Buffer): Claims {
  return decoded(() => {
    let claims = NO_CLAIMS;
    for (const { hardState, snapshot, entries } of readBatches(body)) {
      const last = entries.at(-1) ?? snapshot ?? NO_CLAIMS.last;
      claims = mergeClaims(claims, { hardState, last: endOf(last) });
    }
    return claims;
  });
}

/** Bytes that cannot be decoded claim nothing. */
function decoded(decode: () => Claims): Claims {
  try {
    return decode();
  } catch (thrown) {
    if (thrown instanceof RangeError) return NO_CLAIMS;
    throw thrown;
  }
}

/** A log's own stand as claims. */
export function claimsOf({ hardState, last }: LogStand): Claims {
  return { hardState, last: endOf(last) };
}

function endOf({ index, term, hash }: ChainEnd): ChainEnd {
  return { index, term, hash };
}
