import { join } from 'node:path';
import { present, unreachable } from '../../base/assert.ts';
import { asBuffer } from '../../base/bytes.ts';
import { systemErrorCode } from '../../base/errors.ts';
import type { StoreId } from '../../base/ids.ts';
import { entryHash } from '../raft/entryHash.ts';
import type { Entry } from '../raft/types.ts';
import { readBatches, readHeader, WAL_FORMAT_VERSION } from './codec.ts';
import { type Claims, claimsBehind, claimsOf, type Damage, mergeClaims, NO_CLAIMS } from './damage.ts';
import { findFrame, peekRecordNumber, readFrame } from './frame.ts';
import { LogShape, type RecordedBatch } from './logShape.ts';
import { foreignStore, logMissing, unreadable, versionUnsupported } from './refusals.ts';
import {
  afterBatch,
  encodeHeader,
  isPreallocated,
  type Segment,
  segmentName,
  segmentSequences,
} from './segment.ts';
import type { SegmentFiles } from './segmentFiles.ts';
import type { ChainEnd } from './types.ts';
import type { Watermark } from './watermark.ts';

/** A log as it was found, verified from end to end. Nothing on disk was touched. */
export interface FoundLog {
  readonly shape: LogShape<Entry>;
  readonly segments: readonly Segment[];
  /** Older segments that a removal did not come to, ascending: no part of the log. */
  readonly leftOver: readonly number[];
  readonly nextRecord: number;
  /** Where the next record of the last segment goes. */
  readonly end: number;
  readonly lastSegmentBytes: number;
  /** False when a torn record or a short file has to be overwritten with zeros first. */
  readonly preallocated: boolean;
  /** The last entry after the record that was asked about; null when no segment tells. */
  readonly lastAtRecord: ChainEnd | null;
}

export type LogReading =
  | { readonly kind: 'whole'; readonly log: FoundLog }
  | { readonly kind: 'damaged'; readonly damage: Damage };

export interface LogSource {
  readonly directory: string;
  readonly storeId: StoreId;
  readonly segmentBytes: number;
  readonly files: SegmentFiles;
}

/**
 * Reads and verifies all segments in order: checksums, record numbers, contiguity, terms, the hash chain, and that
 * every segment goes on where the one before ended. Only the very last record may be torn; all else is damage.
 * @param named what the watermark says: where the log begins, and the record after which the caller wants to know where
 *   it stood
 * @throws HoldfastError DATA_DIR_INVALID (no log, another store's), VERSION_UNSUPPORTED, DISK_FAILED (unreadable)
 */
export async function readSegments(source: LogSource, named: Watermark | null = null): Promise<LogReading> {
  const listed = await listSequences(source);
  // A removal leaves the segment that is named. Where it is missing, something else has happened: nothing is left out.
  const begin = Math.max(0, listed.indexOf(named?.firstSegment ?? 0));
  const sequences = listed.slice(begin);
  const reader = new LogReader(source, { record: named?.record ?? null, leftOver: listed.slice(0, begin) });
  for (const sequence of sequences) {
    const bytes = await readSegmentBytes(source, sequence);
    await reader.read(sequence, bytes, sequence === sequences.at(-1));
  }
  return reader.finish();
}

/** @throws HoldfastError DISK_FAILED */
export async function readSegmentBytes({ directory, files }: LogSource, sequence: number): Promise<Buffer> {
  const path = join(directory, segmentName(sequence));
  try {
    return await files.read(path);
  } catch (thrown) {
    throw unreadable(path, thrown);
  }
}

/** A record or an entry takes about as long as so many bytes of payload do. */
const STEP_BYTES = 256;

/** The sound part ends here; caught by the reader itself. */
class Unsound extends Error {}

interface ReadingOptions {
  /** The record after which the caller wants to know where the log stood. */
  readonly record?: number | null;
  /** Older segments that are not read. */
  readonly leftOver?: readonly number[];
  /** What is remembered of each entry. */
  readonly keep?: (entry: Entry) => Entry;
  /** Told how many bytes were verified; what it returns is waited for. */
  readonly breathe?: (bytes: number) => Promise<void> | null;
}

/** Reads one segment after the other; the first has to begin a log. */
export class LogReader {
  readonly #source: LogSource;
  readonly #options: ReadingOptions;
  #shape: LogShape<Entry> | null = null;
  #segments: Segment[] = [];
  #record = 0;
  #sequence = 0;
  #offset = 0;
  #found = { end: 0, lastSegmentBytes: 0, preallocated: true };
  #lastAtRecord: ChainEnd | null = null;
  #damage: Omit<Damage, 'claims' | 'leftOver'> | null = null;
  #claims: Claims = NO_CLAIMS;

  constructor(source: LogSource, options: ReadingOptions) {
    this.#source = source;
    this.#options = options;
  }

  /** Where and why what was read so far is not sound, or null. */
  get unsound(): string | null {
    return this.#damage?.reason ?? null;
  }

  async read(sequence: number, bytes: Buffer, isLast: boolean): Promise<void> {
    if (this.#damage === null) {
      try {
        await this.#readSegment(sequence, bytes, isLast);
        return;
      } catch (thrown) {
        if (!(thrown instanceof Unsound)) throw thrown;
        this.#damaged(thrown.message, this.#offset);
      }
    }
    const from = sequence === this.#damage?.sequence ? this.#damage.offset : 0;
    this.#claims = mergeClaims(this.#claims, claimsBehind(bytes, from, sequence));
  }

  finish(): LogReading {
    const shape = this.#shape;
    const first = this.#segments[0]?.sequence ?? 0;
    if (this.#damage === null && shape !== null && shape.base.index < shape.floor.index) {
      this.#sequence = first;
      this.#damaged(`entries ${shape.base.index + 1} to ${shape.floor.index} are missing before it`, 0);
    }
    const own = shape === null ? NO_CLAIMS : claimsOf(shape.stand);
    if (this.#damage !== null) {
      const damage = { ...this.#damage, leftOver: this.#options.leftOver ?? [] };
      return { kind: 'damaged', damage: { ...damage, claims: mergeClaims(this.#claims, own) } };
    }
    const log = {
      shape: present(shape, 'a segment header'),
      segments: this.#segments,
      leftOver: this.#options.leftOver ?? [],
      nextRecord: this.#record,
      lastAtRecord: this.#lastAtRecord,
      ...this.#found,
    };
    return { kind: 'whole', log };
  }

  #damaged(what: string, offset: number): void {
    const path = join(this.#source.directory, segmentName(this.#sequence));
    this.#damage = { sequence: this.#sequence, offset, reason: `${path}, offset ${offset}: ${what}` };
  }

  async #readSegment(sequence: number, bytes: Buffer, isLast: boolean): Promise<void> {
    const expected = this.#shape === null ? sequence : this.#sequence + 1;
    this.#sequence = expected;
    this.#offset = 0;
    if (sequence !== expected) throw new Unsound('the segment is missing');
    const shape = this.#readHeader(bytes);
    this.#shape = shape;
    this.#segments.push({ sequence, begins: shape.last, start: 'follows' });
    this.#noteStand(shape);
    while (await this.#readRecord(shape, bytes, isLast)) {
      this.#record += 1;
      this.#noteStand(shape);
    }
    const { segmentBytes } = this.#source;
    const preallocated = isPreallocated(bytes, this.#offset, segmentBytes);
    this.#found = { end: this.#offset, lastSegmentBytes: bytes.length, preallocated };
  }

  #noteStand({ last }: LogShape<Entry>): void {
    if (this.#record - 1 === (this.#options.record ?? null)) this.#lastAtRecord = last;
  }

  #readHeader(bytes: Buffer): LogShape<Entry> {
    const record = this.#shape === null ? peekRecordNumber(bytes) : this.#record;
    const reading = readFrame(bytes, 0, { type: 'header', segment: this.#sequence, record });
    if (reading.kind === 'end') throw new Unsound('the segment is empty');
    if (reading.kind === 'damaged') throw new Unsound(reading.reason);
    const header = this.#decoded(() => readHeader(reading.body));
    if (header.stand === null) {
      const known = WAL_FORMAT_VERSION;
      throw versionUnsupported(segmentName(this.#sequence), { found: header.version, known });
    }
    if (header.storeId !== this.#source.storeId) throw foreignStore(this.#source, header.storeId);
    const { storeId } = header;
    if (this.#shape !== null) {
      const address = { segment: this.#sequence, record: this.#record };
      const due = encodeHeader({ version: WAL_FORMAT_VERSION, storeId, stand: this.#shape.stand }, address);
      if (!due.equals(bytes.subarray(0, reading.end))) {
        throw new Unsound('the segment does not go on where the one before ended');
      }
    }
    this.#record = record;
    this.#offset = reading.end;
    return this.#shape ?? new LogShape(header.stand, this.#options.keep ?? ((entry) => entry));
  }

  /** False at the end of the segment. */
  async #readRecord(shape: LogShape<Entry>, bytes: Buffer, isLast: boolean): Promise<boolean> {
    const address = { type: 'batch', segment: this.#sequence, record: this.#record } as const;
    const reading = readFrame(bytes, this.#offset, address);
    switch (reading.kind) {
      case 'end':
        return false;
      case 'damaged': {
        if (!isLast || !reading.torn) throw new Unsound(reading.reason);
        const sound = findFrame(bytes, this.#offset + 1, address);
        if (sound === null) return false;
        throw new Unsound(`${reading.reason}, and a sound record follows at offset ${sound}`);
      }
      case 'frame': {
        const batches = this.#decoded(() => readBatches(reading.body));
        for (const batch of batches) await this.#readBatch(shape, batch);
        this.#offset = reading.end;
        const pause = this.#breathe(0);
        if (pause !== null) await pause;
        return true;
      }
      default:
        return unreachable(reading, 'what a frame reads as');
    }
  }

  async #readBatch(shape: LogShape<Entry>, batch: RecordedBatch): Promise<void> {
    const problem = shape.problem(batch) ?? (await this.#chainProblem(shape, batch));
    if (problem !== null) throw new Unsound(problem);
    shape.apply(batch);
    this.#segments = afterBatch(this.#segments, batch);
  }

  /** Invariant 3: every hash is recomputed from the one before. */
  async #chainProblem(shape: LogShape<Entry>, batch: RecordedBatch): Promise<string | null> {
    let previous = shape.previousOf(batch)?.hash;
    for (const entry of batch.entries) {
      const due = entryHash(present(previous, 'the hash before'), entry, entry.type, entry.payload);
      if (!asBuffer(due).equals(entry.hash)) return `I3: the hash of entry ${entry.index} does not match`;
      previous = due;
      const pause = this.#breathe(entry.payload.length);
      if (pause !== null) await pause;
    }
    return null;
  }

  #breathe(bytes: number): Promise<void> | null {
    return this.#options.breathe?.(STEP_BYTES + bytes) ?? null;
  }

  #decoded<T>(decode: () => T): T {
    try {
      return decode();
    } catch (thrown) {
      if (thrown instanceof RangeError)
        throw new Unsound(`a record cannot be decoded (${thrown.message})`, { cause: thrown });
      throw thrown;
    }
  }
}

async function listSequences({ directory, files }: LogSource): Promise<number[]> {
  const sequences = segmentSequences(
    await files.list(directory).catch((thrown: unknown) => {
      if (systemErrorCode(thrown) !== 'ENOENT') throw unreadable(directory, thrown);
      throw logMissing(`the write-ahead log ${directory} is missing`, thrown);
    }),
  );
  if (sequences.length > 0) return sequences;
  throw logMissing(`the write-ahead log ${directory} has no segment`);
}
