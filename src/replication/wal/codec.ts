import { readU64 } from '../../base/bytes.ts';
import type { NodeId, StoreId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import { ENTRY_TYPE_CODES } from '../raft/entryHash.ts';
import type { Configuration, Entry, EntryType, HardState, SnapshotMetadata } from '../raft/types.ts';
import type { LogStand, RecordedBatch } from './logShape.ts';
import type { ChainEnd } from './types.ts';

/** The format that this program writes and reads. */
export const WAL_FORMAT_VERSION = 1;

const MAGIC = Buffer.from('HFWAL');
const TWO_32 = 0x1_0000_0000;
const HASH_BYTES = 32;
const ID_BYTES = 8;
const CHAIN_END_BYTES = 16 + HASH_BYTES;
const HARD_STATE_BYTES = 8 + 1 + ID_BYTES + 8;
const ENTRY_BYTES = 8 + 1 + HASH_BYTES + 4;
const ENTRY_TYPES: ReadonlyMap<number, EntryType> = new Map(
  (['normal', 'configuration', 'empty'] as const).map((type) => [ENTRY_TYPE_CODES[type], type]),
);
const FLAG_SNAPSHOT = 1;
const FLAG_BASE = 2;

/** What a segment says of itself: whose it is, and where the log stood when it was begun. */
export interface SegmentHeader {
  readonly version: number;
  readonly storeId: StoreId;
  readonly stand: LogStand;
}

/** Bytes of an encoded header body. */
export function headerBytes({ stand }: Pick<SegmentHeader, 'stand'>): number {
  return MAGIC.length + 1 + ID_BYTES + CHAIN_END_BYTES + HARD_STATE_BYTES + metadataBytes(stand.base);
}

/** Writes a header body at `offset`; the end offset. */
export function writeHeader(header: SegmentHeader, target: Buffer, offset: number): number {
  const writer = new Writer(target, offset);
  writer.bytes(MAGIC);
  writer.u8(header.version);
  writer.id(header.storeId);
  writer.chainEnd(header.stand.last);
  writer.hardState(header.stand.hardState);
  writer.metadata(header.stand.base);
  return writer.offset;
}

/**
 * Reads a header body. With another `version` the rest is not read and `stand` is null.
 * @throws RangeError when the bytes are not a header
 */
export function readHeader(body: Buffer): SegmentHeader | { readonly version: number; readonly stand: null } {
  const reader = new Reader(body);
  if (!reader.bytes(MAGIC.length).equals(MAGIC)) throw new RangeError('not a write-ahead log');
  const version = reader.u8();
  if (version !== WAL_FORMAT_VERSION) return { version, stand: null };
  const storeId = reader.id() as StoreId;
  const stand = { last: reader.chainEnd(), hardState: reader.hardState(), base: reader.metadata() };
  reader.finish();
  return { version, storeId, stand };
}

/** Bytes of one encoded batch. */
export function batchBytes(batch: RecordedBatch): number {
  let bytes = 1 + HARD_STATE_BYTES + 8 + 4;
  if (batch.snapshot !== null) bytes += metadataBytes(batch.snapshot);
  if (batch.base !== null) bytes += metadataBytes(batch.base);
  for (const entry of batch.entries) bytes += ENTRY_BYTES + entry.payload.length;
  return bytes;
}

/** Writes one batch at `offset`; the end offset. A record body is one or more batches. */
export function writeBatch(batch: RecordedBatch, target: Buffer, offset: number): number {
  const writer = new Writer(target, offset);
  writer.u8((batch.snapshot === null ? 0 : FLAG_SNAPSHOT) | (batch.base === null ? 0 : FLAG_BASE));
  writer.hardState(batch.hardState);
  if (batch.snapshot !== null) writer.metadata(batch.snapshot);
  if (batch.base !== null) writer.metadata(batch.base);
  writer.u64(batch.entries[0]?.index ?? 0);
  writer.u32(batch.entries.length);
  for (const entry of batch.entries) writer.entry(entry);
  return writer.offset;
}

/** All batches of a record body. The entries do not share memory with it. @throws RangeError */
export function readBatches(body: Buffer): RecordedBatch[] {
  const reader = new Reader(body);
  const batches: RecordedBatch[] = [];
  while (!reader.atEnd) batches.push(readBatch(reader));
  if (batches.length === 0) throw new RangeError('a record without a batch');
  return batches;
}

function readBatch(reader: Reader): RecordedBatch {
  const flags = reader.u8();
  if (flags > (FLAG_SNAPSHOT | FLAG_BASE)) throw new RangeError('unknown flags');
  const hardState = reader.hardState();
  const snapshot = (flags & FLAG_SNAPSHOT) === 0 ? null : reader.metadata();
  const base = (flags & FLAG_BASE) === 0 ? null : reader.metadata();
  const firstIndex = reader.u64();
  const count = reader.u32();
  const entries: Entry[] = [];
  for (let i = 0; i < count; i += 1) entries.push(reader.entry(firstIndex + i));
  return { hardState, snapshot, base, entries };
}

function metadataBytes({ configuration }: SnapshotMetadata): number {
  const { voters, votersOutgoing, learners, learnersNext } = configuration;
  const members = voters.length + votersOutgoing.length + learners.length + learnersNext.length;
  return CHAIN_END_BYTES + 1 + 4 + members * ID_BYTES;
}

class Writer {
  readonly #target: Buffer;
  offset: number;

  constructor(target: Buffer, offset: number) {
    this.#target = target;
    this.offset = offset;
  }

  u8(value: number): void {
    this.offset = this.#target.writeUInt8(value, this.offset);
  }

  u32(value: number): void {
    this.offset = this.#target.writeUInt32BE(value, this.offset);
  }

  u64(value: number): void {
    this.u32(Math.floor(value / TWO_32));
    this.u32(value % TWO_32);
  }

  bytes(value: Uint8Array): void {
    this.#target.set(value, this.offset);
    this.offset += value.length;
  }

  id(value: string): void {
    this.offset += this.#target.write(value, this.offset, ID_BYTES, 'hex');
  }

  chainEnd({ index, term, hash }: ChainEnd): void {
    this.u64(index);
    this.u64(term);
    this.bytes(hash);
  }

  hardState({ term, vote, commit }: HardState): void {
    this.u64(term);
    this.u8(vote === null ? 0 : 1);
    this.id(vote ?? '0000000000000000');
    this.u64(commit);
  }

  metadata(metadata: SnapshotMetadata): void {
    const { voters, votersOutgoing, learners, learnersNext, autoLeave } = metadata.configuration;
    this.chainEnd(metadata);
    this.u8(autoLeave ? 1 : 0);
    for (const members of [voters, votersOutgoing, learners, learnersNext]) {
      this.u8(members.length);
      for (const member of members) this.id(member);
    }
  }

  entry({ term, type, hash, payload }: Entry): void {
    this.u64(term);
    this.u8(ENTRY_TYPE_CODES[type]);
    this.bytes(hash);
    this.u32(payload.length);
    this.bytes(payload);
  }
}

/** Every read past the end or out of range is a RangeError. */
class Reader {
  readonly #source: Buffer;
  #offset = 0;

  constructor(source: Buffer) {
    this.#source = source;
  }

  get atEnd(): boolean {
    return this.#offset === this.#source.length;
  }

  finish(): void {
    if (!this.atEnd) throw new RangeError('bytes are left over');
  }

  u8(): number {
    const value = this.#source.readUInt8(this.#offset);
    this.#offset += 1;
    return value;
  }

  u32(): number {
    const value = this.#source.readUInt32BE(this.#offset);
    this.#offset += 4;
    return value;
  }

  u64(): number {
    const value = readU64(this.#source, this.#offset);
    this.#offset += 8;
    return value;
  }

  /** A view on the source. */
  bytes(length: number): Buffer {
    const end = this.#offset + length;
    if (end > this.#source.length) throw new RangeError('bytes are missing');
    const part = this.#source.subarray(this.#offset, end);
    this.#offset = end;
    return part;
  }

  id(): string {
    return this.bytes(ID_BYTES).toString('hex');
  }

  flag(): boolean {
    const value = this.u8();
    if (value > 1) throw new RangeError('a flag is neither 0 nor 1');
    return value === 1;
  }

  chainEnd(): ChainEnd {
    const index = this.u64();
    const term = this.u64();
    return { index, term, hash: Buffer.from(this.bytes(HASH_BYTES)) };
  }

  hardState(): HardState {
    const term = this.u64();
    const voted = this.flag();
    const vote = this.id() as NodeId;
    return { term, vote: voted ? vote : null, commit: this.u64() };
  }

  metadata(): SnapshotMetadata {
    const end = this.chainEnd();
    const autoLeave = this.flag();
    const configuration: Configuration = {
      voters: this.#members(),
      votersOutgoing: this.#members(),
      learners: this.#members(),
      learnersNext: this.#members(),
      autoLeave,
    };
    return { ...end, configuration };
  }

  /** Copied, so that a small entry does not hold a whole segment in memory. */
  entry(index: number): Entry {
    const term = this.u64();
    const type = ENTRY_TYPES.get(this.u8());
    if (type === undefined) throw new RangeError('an unknown entry type');
    const hash = Buffer.from(this.bytes(HASH_BYTES));
    const payload = Buffer.from(this.bytes(this.u32()));
    return { index, term, type, hash, payload };
  }

  #members(): NodeId[] {
    const count = this.u8();
    if (count > LIMITS.membersMax) throw new RangeError('too many members');
    return Array.from({ length: count }, () => this.id() as NodeId);
  }
}
