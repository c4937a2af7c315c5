import { hash } from 'node:crypto';
import { HoldfastError } from '../base/errors.ts';

/**
 * Every persistent thing is a row. `k`: a version of a key; `c`: a client; `a`: the answers of one entry; `l`: the audit
 * records of one entry; `e`: how the audit is set; `t`: a join token; `b`: an access token; `p`: a policy; `u`: a user;
 * `d`: the resets of the administrator; `m`: a member; `x`: a removed node id; `s`: the authority; `r`: the change of keys
 * that is under way, or was the last; `h`: the head, how far the others go.
 * Documented in proto/holdfast/storage/v1/row.proto and audit.proto.
 */
export const TABLES = ['a', 'b', 'c', 'd', 'e', 'h', 'k', 'l', 'm', 'p', 'r', 's', 't', 'u', 'x'] as const;
export type Table = (typeof TABLES)[number];

/** Where a row lies: never used twice. `k` counts revision.sub, `l` the sequence of its first record, every other table log index.sub. */
export interface RowPlace {
  readonly table: Table;
  readonly number: number;
  readonly sub: number;
}

/** Bytes of a row's key on disk: table | u64 number | u32 sub, big-endian. */
export const ROW_KEY_BYTES = 13;

/**
 * A row that is in the state. In memory it starts with its plaintext, which goes when it is on disk (and may come
 * back as part of a cache).
 */
export interface Row extends RowPlace {
  /** SHA-256 of ROW_KEY_BYTES of place and the plaintext, 32 latin-1 characters: its share of the state digest. */
  readonly digest: string;
  /** Place, then plaintext; null when it has to be fetched from disk. */
  encoded: Buffer | null;
  /** The batch that takes or took it to disk; 0 while it waits. */
  batch: number;
  /** No longer in the state; its bytes may still have to reach the disk. */
  dropped: boolean;
}

/** Small rows share blocks of memory, since every block of its own costs more than what is done with it. */
const BLOCK_BYTES = 64 * 1024;
const SHARED_ROW_BYTES_MAX = 4 * 1024;
let block = Buffer.alloc(0);
let blockUsed = 0;

/** Room for a row with this much plaintext, the place written. The plaintext belongs at ROW_KEY_BYTES. */
export function allocateRow(place: RowPlace, plaintextBytes: number): Buffer {
  const encoded = allocate(ROW_KEY_BYTES + plaintextBytes);
  writeRowKey(encoded, place);
  return encoded;
}

/** Every byte is written before anyone reads. */
function allocate(bytes: number): Buffer {
  if (bytes > SHARED_ROW_BYTES_MAX) return Buffer.allocUnsafeSlow(bytes);
  if (blockUsed + bytes > block.length) {
    block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    blockUsed = 0;
  }
  blockUsed += bytes;
  return block.subarray(blockUsed - bytes, blockUsed);
}

/** The same bytes in memory of their own: to be kept without keeping others. */
export function unshared(encoded: Buffer): Buffer {
  if (encoded.buffer.byteLength === encoded.length) return encoded;
  const own = Buffer.allocUnsafeSlow(encoded.length);
  own.set(encoded);
  return own;
}

export function writeRowKey(target: Buffer, { table, number, sub }: RowPlace): void {
  target[0] = table.charCodeAt(0);
  target.writeUInt32BE(Math.floor(number / 0x1_0000_0000), 1);
  target.writeUInt32BE(number % 0x1_0000_0000, 5);
  target.writeUInt32BE(sub, 9);
}

/** The key of a row on disk. */
export function rowKey(place: RowPlace): Buffer {
  const key = Buffer.alloc(ROW_KEY_BYTES);
  writeRowKey(key, place);
  return key;
}

/** A place and its plaintext in one block. */
export function encodeRow(place: RowPlace, plaintext: Uint8Array): Buffer {
  const encoded = allocateRow(place, plaintext.length);
  encoded.set(plaintext, ROW_KEY_BYTES);
  return encoded;
}

export function plaintextOf(encoded: Buffer): Buffer {
  return encoded.subarray(ROW_KEY_BYTES);
}

export function rowDigest(encoded: Buffer): string {
  return hash('sha256', encoded, 'binary');
}

/** A row that waits to be written. */
export function newRow(place: RowPlace, plaintext: Uint8Array): Row {
  const encoded = encodeRow(place, plaintext);
  return { ...place, digest: rowDigest(encoded), encoded, batch: 0, dropped: false };
}

const TABLE_BY_BYTE: ReadonlyMap<number, Table> = new Map(
  TABLES.map((table) => [table.charCodeAt(0), table]),
);

/** @throws HoldfastError STATE_CORRUPT when the bytes are no row's key */
export function parseRowKey(key: Buffer): RowPlace {
  const table = TABLE_BY_BYTE.get(key[0] ?? 0);
  if (key.length !== ROW_KEY_BYTES || table === undefined) {
    throw new HoldfastError(
      'STATE_CORRUPT',
      `the state holds a row with the unknown key ${key.toString('hex')}`,
    );
  }
  const number = key.readUInt32BE(1) * 0x1_0000_0000 + key.readUInt32BE(5);
  if (!Number.isSafeInteger(number)) {
    throw new HoldfastError(
      'STATE_CORRUPT',
      `the state holds a row of table ${table} with an impossible number`,
    );
  }
  return { table, number, sub: key.readUInt32BE(9) };
}

export function describeRow({ table, number, sub }: RowPlace): string {
  return `row ${number}.${sub} of table ${table}`;
}
