import type { StoreId } from '../../base/ids.ts';
import type { Entry, SnapshotMetadata } from '../raft/types.ts';
import {
  CHAIN_END_BYTES,
  ENTRY_BYTES,
  FieldReader,
  FieldWriter,
  HARD_STATE_BYTES,
  ID_BYTES,
} from './fields.ts';
import type { LogStand, RecordedBatch } from './logShape.ts';

/** The format that this program writes and reads. */
export const WAL_FORMAT_VERSION = 1;

const MAGIC = Buffer.from('HFWAL');
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
  const writer = new FieldWriter(target, offset);
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
  const reader = new FieldReader(body);
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
  const writer = new FieldWriter(target, offset);
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
  const reader = new FieldReader(body);
  const batches: RecordedBatch[] = [];
  while (!reader.atEnd) batches.push(readBatch(reader));
  if (batches.length === 0) throw new RangeError('a record without a batch');
  return batches;
}

function readBatch(reader: FieldReader): RecordedBatch {
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
