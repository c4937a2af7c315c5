import { createHash } from 'node:crypto';
import { readU64, writeU64 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { bytesFromKey, inRange, keyFromBytes } from '../command/keys.ts';

/**
 * Where the next page begins:
 *
 *   version u8 | revision u64 | count u64 | first 8 bytes of SHA-256 of the range | next key
 *
 * It is the caller's own and gives no rights: a forged one reads what a plain request could read.
 */
export interface PageToken {
  /** The revision of the first page, so that all pages show the same state. */
  readonly revision: number;
  /** Keys of the whole range. */
  readonly count: number;
  /** Latin-1. */
  readonly next: string;
}

export interface PageRange {
  readonly start: string;
  readonly end: string;
}

const VERSION = 1;
const RANGE_OFFSET = 17;
const KEY_OFFSET = 25;

export function encodePageToken(token: PageToken, range: PageRange): Buffer {
  const bytes = Buffer.alloc(KEY_OFFSET + token.next.length);
  bytes[0] = VERSION;
  writeU64(bytes, token.revision, 1);
  writeU64(bytes, token.count, 9);
  bytes.set(rangeMark(range), RANGE_OFFSET);
  bytes.write(token.next, KEY_OFFSET, 'latin1');
  return bytes;
}

/** @throws HoldfastError INVALID_ARGUMENT when it is not a token of a page of this range */
export function decodePageToken(token: Uint8Array, range: PageRange): PageToken {
  const bytes = Buffer.from(token);
  const keyBytes = bytes.length - KEY_OFFSET;
  if (keyBytes < 1 || keyBytes > LIMITS.keyBytesMax || bytes[0] !== VERSION) throw malformed();
  const next = keyFromBytes(bytes.subarray(KEY_OFFSET));
  const sameRange = rangeMark(range).equals(bytes.subarray(RANGE_OFFSET, KEY_OFFSET));
  if (!sameRange || !inRange(next, range)) throw malformed();
  const [revision, count] = [readCount(bytes, 1), readCount(bytes, 9)];
  if (revision === 0 || count === 0) throw malformed();
  return { revision, count, next };
}

function readCount(bytes: Buffer, offset: number): number {
  try {
    return readU64(bytes, offset);
  } catch {
    throw malformed();
  }
}

function rangeMark({ start, end }: PageRange): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(start.length);
  const mark = createHash('sha256')
    .update(length)
    .update(bytesFromKey(start))
    .update(bytesFromKey(end))
    .digest();
  return mark.subarray(0, KEY_OFFSET - RANGE_OFFSET);
}

function malformed(): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', 'page_token is not the token of a page of this range', {
    field: 'page_token',
    hint: 'Send the token unchanged, with the same range as for the page before.',
  });
}
