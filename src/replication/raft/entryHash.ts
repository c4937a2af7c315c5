import { createHash } from 'node:crypto';
import { writeU64 } from '../../base/bytes.ts';
import type { EntryType, Place } from './types.ts';

/** What the chain starts from: the hash "before" entry 1. */
export const ZERO_HASH: Uint8Array = new Uint8Array(32);

/** The number of an entry's type, as hashed and stored. Never renumbered. */
export const ENTRY_TYPE_CODES: Readonly<Record<EntryType, number>> = {
  normal: 1,
  configuration: 2,
  empty: 3,
};

/**
 * Invariant 3: SHA-256(hash of the entry before | term u64 | index u64 | type u8 | payload).
 * `payload` is the bytes as stored, never an encoding made again.
 */
export function entryHash(
  previousHash: Uint8Array,
  place: Place,
  type: EntryType,
  payload: Uint8Array,
): Uint8Array {
  const header = Buffer.alloc(49);
  header.set(previousHash, 0);
  writeU64(header, place.term, 32);
  writeU64(header, place.index, 40);
  header[48] = ENTRY_TYPE_CODES[type];
  return createHash('sha256').update(header).update(payload).digest();
}

export function sameHash(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
