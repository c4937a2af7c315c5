import { crc32 } from 'node:zlib';
import { assert } from '../../base/assert.ts';
import { readU64, writeU64 } from '../../base/bytes.ts';
import { LIMITS } from '../../base/limits.ts';

/**
 * How a record lies in a segment, big-endian:
 * `length u32 | crc32 u32 | type u8 | segment sequence u64 | record number u64 | body`.
 * `length` counts from `type` to the end; the CRC covers the same bytes. Length 0 means that nothing was written
 * here yet. The numbers make a record recognisable at any offset, and a record of another place a stranger.
 */
export type RecordType = 'header' | 'batch';

const TYPE_BYTES: Record<RecordType, number> = { header: 1, batch: 2 };
const PREFIX_BYTES = 8;
const ADDRESS_BYTES = 1 + 8 + 8;

/** Bytes of a record that are not its body. */
export const FRAME_BYTES = PREFIX_BYTES + ADDRESS_BYTES;

/** Which record a frame is: numbers run through all segments without a gap. */
export interface RecordAddress {
  readonly type: RecordType;
  readonly segment: number;
  readonly record: number;
}

/** The body of a record to be. */
export interface FrameBody {
  readonly bytes: number;
  /** Fills exactly `bytes` from `offset`; returns the end. */
  readonly write: (target: Buffer, offset: number) => number;
}

/** The bytes of one record, at the start of `scratch` when they fit. */
export function encodeFrame(address: RecordAddress, body: FrameBody, scratch?: Buffer): Buffer {
  const length = ADDRESS_BYTES + body.bytes;
  assert(length <= LIMITS.walRecordBytesMax, 'a WAL record is within its limit');
  const bytes = PREFIX_BYTES + length;
  const frame =
    scratch !== undefined && bytes <= scratch.length
      ? scratch.subarray(0, bytes)
      : Buffer.allocUnsafeSlow(bytes);
  frame.writeUInt32BE(length, 0);
  frame[PREFIX_BYTES] = TYPE_BYTES[address.type];
  writeU64(frame, address.segment, PREFIX_BYTES + 1);
  writeU64(frame, address.record, PREFIX_BYTES + 9);
  assert(body.write(frame, FRAME_BYTES) === frame.length, 'a WAL record is filled exactly');
  frame.writeUInt32BE(crc32(frame.subarray(PREFIX_BYTES)), 4);
  return frame;
}

export type FrameReading =
  /** Nothing but zero bytes from here to the end of the segment. */
  | { readonly kind: 'end' }
  | { readonly kind: 'frame'; readonly body: Buffer; readonly end: number }
  /** `torn`: what an interrupted write may leave behind; else the bytes are sound but do not belong here. */
  | { readonly kind: 'damaged'; readonly torn: boolean; readonly reason: string };

/** Reads the record at `offset`, which has to be the one that `expected` says. */
export function readFrame(segment: Buffer, offset: number, expected: RecordAddress): FrameReading {
  const rest = segment.subarray(offset);
  if (isZero(rest)) return { kind: 'end' };
  const torn = tornProblem(rest);
  if (torn !== null) return { kind: 'damaged', torn: true, reason: torn };
  const foreign = addressProblem(rest, expected);
  if (foreign !== null) return { kind: 'damaged', torn: false, reason: foreign };
  const end = PREFIX_BYTES + rest.readUInt32BE(0);
  return { kind: 'frame', body: rest.subarray(FRAME_BYTES, end), end: offset + end };
}

/**
 * Where at or after `from` a sound record of this segment begins, or null. Only one write is ever in flight, so a torn
 * write has nothing after it; a sound record behind a damaged one means that the damage came later.
 */
export function findFrame(
  segment: Buffer,
  from: number,
  expected: Omit<RecordAddress, 'record'>,
): number | null {
  const mark = Buffer.alloc(9);
  mark[0] = TYPE_BYTES[expected.type];
  writeU64(mark, expected.segment, 1);
  for (let at = from + PREFIX_BYTES; ; at += 1) {
    at = segment.indexOf(mark, at);
    if (at === -1) return null;
    if (tornProblem(segment.subarray(at - PREFIX_BYTES)) === null) return at - PREFIX_BYTES;
  }
}

/** The body of the sound record at `offset`, and where it ends. */
export function frameAt(segment: Buffer, offset: number): { readonly body: Buffer; readonly end: number } {
  const end = offset + PREFIX_BYTES + segment.readUInt32BE(offset);
  return { body: segment.subarray(offset + FRAME_BYTES, end), end };
}

/** The record number that the frame at the start of a segment claims, checked by nothing yet; 0 when cut short. */
export function peekRecordNumber(segment: Buffer): number {
  return segment.length < FRAME_BYTES ? 0 : Number(segment.readBigUInt64BE(PREFIX_BYTES + 9));
}

/** What a segment is preallocated with, a piece at a time. */
export const ZEROS: Buffer = Buffer.alloc(1024 * 1024);

/** Whether nothing was ever written to these bytes. */
export function isZero(bytes: Buffer): boolean {
  for (let from = 0; from < bytes.length; from += ZEROS.length) {
    const part = bytes.subarray(from, from + ZEROS.length);
    if (Buffer.compare(part, ZEROS.subarray(0, part.length)) !== 0) return false;
  }
  return true;
}

function tornProblem(rest: Buffer): string | null {
  if (rest.length < FRAME_BYTES) return 'a record is cut short';
  const length = rest.readUInt32BE(0);
  if (length < ADDRESS_BYTES || length > LIMITS.walRecordBytesMax) return 'a record length is out of range';
  const end = PREFIX_BYTES + length;
  if (end > rest.length) return 'a record is cut short';
  const checksum = crc32(rest.subarray(PREFIX_BYTES, end));
  return checksum === rest.readUInt32BE(4) ? null : 'a checksum does not match';
}

function addressProblem(rest: Buffer, expected: RecordAddress): string | null {
  if (rest[PREFIX_BYTES] !== TYPE_BYTES[expected.type]) return 'a record has an unexpected type';
  try {
    if (readU64(rest, PREFIX_BYTES + 1) !== expected.segment) return 'a record belongs to another segment';
    if (readU64(rest, PREFIX_BYTES + 9) !== expected.record) return 'a record number is out of order';
  } catch (thrown) {
    if (thrown instanceof RangeError) return 'a record number is out of range';
    throw thrown;
  }
  return null;
}
