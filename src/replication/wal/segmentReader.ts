import { join } from 'node:path';
import { present, unreachable } from '../../base/assert.ts';
import { asBuffer } from '../../base/bytes.ts';
import { HoldfastError, systemErrorCode } from '../../base/errors.ts';
import type { StoreId } from '../../base/ids.ts';
import { entryHash } from '../raft/entryHash.ts';
import type { Entry } from '../raft/types.ts';
import { readBatches, readHeader, WAL_FORMAT_VERSION } from './codec.ts';
import { findFrameAfter, peekRecordNumber, readFrame } from './frame.ts';
import { LogShape, type RecordedBatch } from './logShape.ts';
import {
  afterBatch,
  encodeHeader,
  isPreallocated,
  type Segment,
  segmentName,
  segmentSequences,
} from './segment.ts';
import type { SegmentFiles } from './segmentFiles.ts';

/** A log as it was found, verified from end to end. Nothing on disk was touched. */
export interface FoundLog {
  readonly shape: LogShape<Entry>;
  readonly segments: readonly Segment[];
  readonly nextRecord: number;
  /** Where the next record of the last segment goes. */
  readonly end: number;
  readonly lastSegmentBytes: number;
  /** False when a torn record or a short file has to be overwritten with zeros first. */
  readonly preallocated: boolean;
}

interface Source {
  readonly directory: string;
  readonly storeId: StoreId;
  readonly segmentBytes: number;
  readonly files: SegmentFiles;
}

/**
 * Reads and verifies all segments in order: checksums, record numbers, contiguity, terms, the hash chain, and that
 * every segment goes on where the one before ended. Only the very last record may be torn.
 * @throws HoldfastError DATA_DIR_INVALID (no log, another store's), VERSION_UNSUPPORTED, DISK_FAILED (unreadable)
 *   or LOG_CORRUPT naming segment and offset
 */
export async function readSegments(source: Source): Promise<FoundLog> {
  const sequences = await listSequences(source);
  let reader: LogReader | null = null;
  for (const sequence of sequences) {
    const bytes = await readBytes(source, sequence);
    const current: LogReader = reader ?? new LogReader(source);
    current.readSegment(sequence, bytes, sequence === sequences.at(-1));
    reader = current;
  }
  return present(reader, 'a segment').finish();
}

class LogReader {
  readonly #source: Source;
  #shape: LogShape<Entry> | null = null;
  #segments: Segment[] = [];
  #record = 0;
  #sequence = 0;
  #offset = 0;
  #found = { end: 0, lastSegmentBytes: 0, preallocated: true };

  constructor(source: Source) {
    this.#source = source;
  }

  readSegment(sequence: number, bytes: Buffer, isLast: boolean): void {
    const expected = this.#shape === null ? sequence : this.#sequence + 1;
    this.#sequence = expected;
    this.#offset = 0;
    if (sequence !== expected) throw this.#corrupt('the segment is missing');
    const shape = this.#readHeader(bytes);
    this.#shape = shape;
    this.#segments.push({ sequence, begins: shape.last, start: 'follows' });
    while (this.#readRecord(shape, bytes, isLast)) this.#record += 1;
    const { segmentBytes } = this.#source;
    const preallocated = isPreallocated(bytes, this.#offset, segmentBytes);
    this.#found = { end: this.#offset, lastSegmentBytes: bytes.length, preallocated };
  }

  finish(): FoundLog {
    const shape = present(this.#shape, 'a segment header');
    if (shape.base.index < shape.floor.index) {
      throw this.#corrupt(
        `entries ${shape.base.index + 1} to ${shape.floor.index} are missing before this segment`,
        0,
      );
    }
    return { shape, segments: this.#segments, nextRecord: this.#record, ...this.#found };
  }

  #readHeader(bytes: Buffer): LogShape<Entry> {
    const record = this.#shape === null ? peekRecordNumber(bytes) : this.#record;
    const reading = readFrame(bytes, 0, { type: 'header', segment: this.#sequence, record });
    if (reading.kind === 'end') throw this.#corrupt('the segment is empty');
    if (reading.kind === 'damaged') throw this.#corrupt(reading.reason);
    const header = this.#decoded(() => readHeader(reading.body));
    if (header.stand === null) throw versionUnsupported(this.#sequence, header.version);
    if (header.storeId !== this.#source.storeId) throw foreignStore(this.#source, header.storeId);
    const { storeId } = header;
    if (this.#shape !== null) {
      const address = { segment: this.#sequence, record: this.#record };
      const due = encodeHeader({ version: WAL_FORMAT_VERSION, storeId, stand: this.#shape.stand }, address);
      if (!due.equals(bytes.subarray(0, reading.end))) {
        throw this.#corrupt('the segment does not go on where the one before ended');
      }
    }
    this.#record = record;
    this.#offset = reading.end;
    return this.#shape ?? new LogShape(header.stand, (entry) => entry);
  }

  /** False at the end of the segment. */
  #readRecord(shape: LogShape<Entry>, bytes: Buffer, isLast: boolean): boolean {
    const address = { type: 'batch', segment: this.#sequence, record: this.#record } as const;
    const reading = readFrame(bytes, this.#offset, address);
    switch (reading.kind) {
      case 'end':
        return false;
      case 'damaged': {
        if (!isLast || !reading.torn) throw this.#corrupt(reading.reason);
        const sound = findFrameAfter(bytes, this.#offset, address);
        if (sound === null) return false;
        throw this.#corrupt(`${reading.reason}, and a sound record follows at offset ${sound}`);
      }
      case 'frame': {
        const batches = this.#decoded(() => readBatches(reading.body));
        for (const batch of batches) this.#readBatch(shape, batch);
        this.#offset = reading.end;
        return true;
      }
      default:
        return unreachable(reading, 'what a frame reads as');
    }
  }

  #readBatch(shape: LogShape<Entry>, batch: RecordedBatch): void {
    const problem = shape.problem(batch) ?? chainProblem(shape, batch);
    if (problem !== null) throw this.#corrupt(problem);
    shape.apply(batch);
    this.#segments = afterBatch(this.#segments, batch);
  }

  #decoded<T>(decode: () => T): T {
    try {
      return decode();
    } catch (thrown) {
      if (thrown instanceof RangeError) throw this.#corrupt(`a record cannot be decoded (${thrown.message})`);
      throw thrown;
    }
  }

  #corrupt(what: string, offset = this.#offset): HoldfastError {
    const path = join(this.#source.directory, segmentName(this.#sequence));
    return new HoldfastError('LOG_CORRUPT', `${path}, offset ${offset}: ${what}`, {
      hint:
        'nothing was changed; keep a copy of the data directory, then remove this node from the cluster and ' +
        'join it again with an empty one',
    });
  }
}

/** Invariant 3: every hash is recomputed from the one before. */
function chainProblem(shape: LogShape<Entry>, batch: RecordedBatch): string | null {
  let previous = shape.previousOf(batch)?.hash;
  for (const entry of batch.entries) {
    const due = entryHash(present(previous, 'the hash before'), entry, entry.type, entry.payload);
    if (!asBuffer(due).equals(entry.hash)) return `I3: the hash of entry ${entry.index} does not match`;
    previous = due;
  }
  return null;
}

async function listSequences({ directory, files }: Source): Promise<number[]> {
  const sequences = segmentSequences(
    await files.list(directory).catch((thrown: unknown) => {
      if (systemErrorCode(thrown) !== 'ENOENT') throw unreadable(directory, thrown);
      throw new HoldfastError('DATA_DIR_INVALID', `the write-ahead log ${directory} is missing`, {
        hint: 'put the data directory back; a node whose log is lost has to be removed and joined again',
        cause: thrown,
      });
    }),
  );
  if (sequences.length > 0) return sequences;
  throw new HoldfastError('DATA_DIR_INVALID', `the write-ahead log ${directory} has no segment`, {
    hint: 'put the data directory back; a node whose log is lost has to be removed and joined again',
  });
}

async function readBytes({ directory, files }: Source, sequence: number): Promise<Buffer> {
  const path = join(directory, segmentName(sequence));
  try {
    return await files.read(path);
  } catch (thrown) {
    throw unreadable(path, thrown);
  }
}

function unreadable(path: string, cause: unknown): HoldfastError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new HoldfastError('DISK_FAILED', `${path} cannot be read: ${why}`, {
    hint: 'check the disk and the owner and mode of the file',
    cause,
  });
}

function versionUnsupported(sequence: number, version: number): HoldfastError {
  return new HoldfastError(
    'VERSION_UNSUPPORTED',
    `${segmentName(sequence)} has log format ${version}; this program reads ${WAL_FORMAT_VERSION}`,
    { hint: 'run the program version that wrote this data directory, or a newer one' },
  );
}

function foreignStore({ directory, storeId }: Source, found: StoreId): HoldfastError {
  return new HoldfastError(
    'DATA_DIR_INVALID',
    `the write-ahead log ${directory} belongs to store ${found}, not to ${storeId}`,
    { hint: 'the data directory was mixed with that of another cluster; put the right one back' },
  );
}
