/** The chain of audit records: each one's hash covers the one before it, so that none is changed, left out or moved unseen. */
import { hash } from 'node:crypto';
import { assert } from '../../base/assert.ts';
import { asBuffer, writeU64 } from '../../base/bytes.ts';
import type { AuditRecord } from '../../proto/audit.ts';

export const AUDIT_HASH_BYTES = 32;
/** Before the first record of a cluster. */
export const NO_AUDIT_HASH: Buffer = Buffer.alloc(AUDIT_HASH_BYTES);

/** A record at its place in the chain. */
export interface ChainedRecord extends AuditRecord {
  /** From 1, without a gap. */
  readonly sequence: number;
  /** Log time, milliseconds since 1970. */
  readonly timeMs: number;
  /** Of the log entry that it came with. */
  readonly index: number;
  /** SHA-256, 32 bytes each. */
  readonly previousHash: Buffer;
  readonly hash: Buffer;
}

/** How far a chain goes: the last record and its hash. */
export interface ChainHead {
  readonly sequence: number;
  readonly hash: Buffer;
}

type Place = Pick<ChainedRecord, 'sequence' | 'timeMs' | 'index' | 'previousHash'>;

/** The texts of a record, in the order in which they are hashed. */
export const RECORD_TEXTS = [
  'principalKind',
  'principal',
  'session',
  'address',
  'node',
  'action',
  'result',
  'requestId',
  'detail',
] as const satisfies readonly (keyof AuditRecord)[];
const NUMBERS_BYTES = 5 * 8;
const SCRATCH_BYTES = 64 * 1024;
const scratch = Buffer.alloc(SCRATCH_BYTES);

/**
 * SHA-256 over: the hash before it (32 bytes); sequence, time, index, revision and count as u64; resource and end of the
 * resource; then the texts in the order of `RECORD_TEXTS`, UTF-8. Each of the last two kinds as u32 length and bytes; all
 * big-endian. docs/formats.md has it for those who check an export with a program of their own.
 */
export function recordHash(record: AuditRecord, place: Place): Buffer {
  return Buffer.from(
    hashText(record, { ...place, previousHash: place.previousHash.toString('latin1') }),
    'latin1',
  );
}

/** How far a chain goes with these records behind its last. */
export function chainEnd(
  records: readonly AuditRecord[],
  { head, ...time }: { readonly head: ChainHead } & Pick<Place, 'timeMs' | 'index'>,
): ChainHead {
  let { sequence } = head;
  let previousHash = head.hash.toString('latin1');
  for (const record of records) {
    sequence += 1;
    previousHash = hashText(record, { sequence, ...time, previousHash });
  }
  return { sequence, hash: Buffer.from(previousHash, 'latin1') };
}

/** Hashes as latin-1, which `binary` means here: a string of 32 characters costs less than a buffer, and there is one for each record. */
function hashText(
  record: AuditRecord,
  { sequence, timeMs, index, previousHash }: Omit<Place, 'previousHash'> & { readonly previousHash: string },
): string {
  assert(previousHash.length === AUDIT_HASH_BYTES, 'the hash of a record has 32 bytes');
  const target = roomFor(record);
  target.write(previousHash, 0, 'latin1');
  let at = AUDIT_HASH_BYTES;
  for (const number of [sequence, timeMs, index, record.revision, record.count]) {
    writeU64(target, number, at);
    at += 8;
  }
  for (const bytes of [record.resource, record.resourceEnd]) {
    target.writeUInt32BE(bytes.length, at);
    target.set(bytes, at + 4);
    at += 4 + bytes.length;
  }
  at += writeTexts(record, target, at);
  return hash('sha256', target.subarray(0, at), 'binary');
}

/** The texts of the record that was hashed last: who reads many values has them in all of the records. */
let lastTexts: { readonly texts: readonly string[]; readonly encoded: Buffer } | null = null;

function writeTexts(record: AuditRecord, target: Buffer, start: number): number {
  const last = lastTexts;
  if (last !== null && RECORD_TEXTS.every((field, at) => record[field] === last.texts[at])) {
    target.set(last.encoded, start);
    return last.encoded.length;
  }
  let at = start;
  for (const field of RECORD_TEXTS) {
    const length = target.write(record[field], at + 4, 'utf8');
    target.writeUInt32BE(length, at);
    at += 4 + length;
  }
  const texts = RECORD_TEXTS.map((field) => record[field]);
  lastTexts = { texts, encoded: Buffer.from(target.subarray(start, at)) };
  return at - start;
}

/** The records of a row or a page at their places. */
export function chained(
  records: readonly AuditRecord[],
  first: Omit<ChainedRecord, keyof AuditRecord | 'hash'>,
): readonly ChainedRecord[] {
  let { previousHash } = first;
  return records.map((record, at) => {
    const place = { ...first, sequence: first.sequence + at, previousHash: asBuffer(previousHash) };
    const own = recordHash(record, place);
    previousHash = own;
    return { ...record, ...place, hash: own };
  });
}

/** Small records share one block of memory; a larger one has its own. */
function roomFor(record: AuditRecord): Buffer {
  let bytes = AUDIT_HASH_BYTES + NUMBERS_BYTES + 8 + record.resource.length + record.resourceEnd.length;
  // At most three bytes of UTF-8 for a UTF-16 unit.
  for (const field of RECORD_TEXTS) bytes += 4 + record[field].length * 3;
  return bytes <= SCRATCH_BYTES ? scratch : Buffer.alloc(bytes);
}
