import { assert } from '../base/assert.ts';
import { recordRowCodec } from '../proto/storage.ts';
import { allocateRow, plaintextOf, ROW_KEY_BYTES } from './row.ts';

const KEY_TAG = 0x0a;
const VALUE_TAG = 0x12;
const CREATE_REVISION_TAG = 0x18;
const VERSION_TAG = 0x20;
const DELETED_TAG = 0x28;
const TIME_TAG = 0x30;
const EMPTY = Buffer.alloc(0);

export interface RecordWrite {
  readonly revision: number;
  readonly sub: number;
  /** Latin-1. */
  readonly key: string;
  readonly value: Uint8Array;
  readonly timeMs: number;
}

export interface RecordNumbers {
  readonly createRevision: number;
  readonly version: number;
  readonly deleted: boolean;
}

/**
 * A record as a row: place and protobuf RecordRow in one block, written by hand since this runs for every put and
 * the value is to be copied once only. A test holds it against the codec.
 */
export function encodeRecord(
  write: RecordWrite,
  { createRevision, version, deleted }: RecordNumbers,
): Buffer {
  const { key, value, timeMs } = write;
  const plaintextBytes =
    1 +
    varintBytes(key.length) +
    key.length +
    1 +
    varintBytes(value.length) +
    value.length +
    1 +
    varintBytes(createRevision) +
    1 +
    varintBytes(version) +
    2 +
    1 +
    varintBytes(timeMs);
  const row = allocateRow({ table: 'k', number: write.revision, sub: write.sub }, plaintextBytes);
  let offset = writeField(row, KEY_TAG, key.length, ROW_KEY_BYTES);
  row.write(key, offset, 'latin1');
  offset = writeField(row, VALUE_TAG, value.length, offset + key.length);
  row.set(value, offset);
  offset = writeField(row, CREATE_REVISION_TAG, createRevision, offset + value.length);
  offset = writeField(row, VERSION_TAG, version, offset);
  offset = writeField(row, DELETED_TAG, Number(deleted), offset);
  offset = writeField(row, TIME_TAG, timeMs, offset);
  assert(offset === row.length, 'a record fills its row');
  return row;
}

/** The value of a record in a row; a view on the row. */
export function recordValue(row: Buffer): Buffer {
  const { value } = recordRowCodec.decode(plaintextOf(row));
  return value.length === 0 ? EMPTY : (value as Buffer);
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes += 1;
  return bytes;
}

function writeField(target: Buffer, tag: number, value: number, at: number): number {
  let offset = at;
  target[offset++] = tag;
  let rest = value;
  while (rest >= 0x80) {
    target[offset++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  target[offset++] = rest;
  return offset;
}
