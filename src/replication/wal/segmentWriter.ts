import { join } from 'node:path';
import { present } from '../../base/assert.ts';
import type { StoreId } from '../../base/ids.ts';
import type { SnapshotMetadata } from '../raft/types.ts';
import { WAL_FORMAT_VERSION } from './codec.ts';
import type { LogStand, RecordedBatch } from './logShape.ts';
import {
  afterBatch,
  countUnneeded,
  encodeHeader,
  encodeRecord,
  fillWithZeros,
  PREPARED_NAME,
  recordBytes,
  type Segment,
  segmentName,
} from './segment.ts';
import type { SegmentFile, SegmentFiles } from './segmentFiles.ts';
import type { FoundLog } from './segmentReader.ts';
import type { DurablePart } from './verification.ts';

/** Larger records, which are rare, get memory of their own. */
const SCRATCH_BYTES = 256 * 1024;

interface OpenSegment {
  readonly file: SegmentFile;
  readonly bytes: number;
}

export interface SegmentWriterOptions {
  readonly directory: string;
  readonly storeId: StoreId;
  readonly segmentBytes: number;
  readonly files: SegmentFiles;
}

/**
 * Writes records into the newest segment and begins the next one when a record does not fit. A segment becomes part
 * of the log by one rename, when it is whole: zeros, header and perhaps a first record are durable by then. The
 * caller makes one call at a time (`removeLeftOver` may run beside) and stops for good at the first rejection.
 */
export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  /** Free again whenever a write has returned: only one is in flight. */
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #segments: readonly Segment[];
  /** Older ones that are still there. */
  #leftOver: readonly number[] = [];
  #nextRecord: number;
  #current: OpenSegment | null = null;
  #end = 0;
  #prepared: Promise<OpenSegment> | null = null;

  private constructor(options: SegmentWriterOptions, segments: readonly Segment[], nextRecord: number) {
    this.#options = options;
    this.#segments = segments;
    this.#nextRecord = nextRecord;
  }

  /** The first segment of a new log, with `first` in it, or nothing at all. */
  static async create(
    options: SegmentWriterOptions,
    stand: LogStand,
    first: RecordedBatch | null,
  ): Promise<SegmentWriter> {
    const writer = new SegmentWriter(options, [], 1);
    await writer.#removePrepared();
    await writer.#begin(stand, first === null ? [] : [first]);
    return writer;
  }

  /** A segment that begins a log anew beside old ones, which the caller takes away. */
  static async begin(
    options: SegmentWriterOptions,
    start: { readonly stand: LogStand; readonly record: number; readonly sequence: number },
  ): Promise<SegmentWriter> {
    const writer = new SegmentWriter(options, [], start.record + 1);
    await writer.#removePrepared();
    await writer.#begin(start.stand, [], start.sequence);
    return writer;
  }

  /** Goes on behind `found`. What a torn write left there is overwritten with zeros, durably, first. */
  static async open(options: SegmentWriterOptions, found: FoundLog): Promise<SegmentWriter> {
    const writer = new SegmentWriter(options, found.segments, found.nextRecord);
    writer.#leftOver = found.leftOver;
    await writer.#removePrepared();
    const file = await options.files.open(writer.#path(writer.#newest().sequence), 'existing');
    const bytes = Math.max(found.lastSegmentBytes, options.segmentBytes);
    writer.#current = { file, bytes };
    writer.#end = found.end;
    if (!found.preallocated) await fillWithZeros(file, { from: found.end, to: bytes });
    return writer;
  }

  /** Number of the last record that is durable. */
  get record(): number {
    return this.#nextRecord - 1;
  }

  /** What is durable now: it does not change any more, but the oldest segments may be left out. */
  get durablePart(): DurablePart {
    return { sequences: this.#segments.map(({ sequence }) => sequence), end: this.#end };
  }

  /** The segments of the log, oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /**
   * Makes all batches durable as one record. `stand` is where the log stood before them.
   */
  async write(batches: readonly RecordedBatch[], stand: LogStand): Promise<void> {
    const room = present(this.#current, 'an open segment').bytes - this.#end;
    if (recordBytes(batches) > room) {
      await this.#begin(stand, batches);
      return;
    }
    const { file, bytes } = present(this.#current, 'an open segment');
    const address = { segment: this.#newest().sequence, record: this.#nextRecord };
    const record = encodeRecord(batches, address, this.#scratch);
    await file.writeDurably(record, this.#end);
    this.#recorded(batches, record.length);
    if (this.#end > bytes / 2) this.#prepareNext();
  }

  /** Begins a new segment where the log stands now. */
  roll(stand: LogStand): Promise<void> {
    return this.#begin(stand, []);
  }

  /**
   * Leaves out the segments that a log beginning at `base`, which is durable in it, does not need.
   * @returns whether `removeLeftOver` has something to do
   */
  leaveOut(base: SnapshotMetadata): boolean {
    const unneeded = countUnneeded(this.#segments, base);
    this.#leftOver = [
      ...this.#leftOver,
      ...this.#segments.slice(0, unneeded).map(({ sequence }) => sequence),
    ];
    this.#segments = this.#segments.slice(unneeded);
    return this.#leftOver.length > 0;
  }

  /**
   * Removes the segments that were left out, oldest first. The watermark names the first segment that stays by now: what
   * a crash between two removals leaves is not always a log by itself, as a segment that cuts the one before it shows.
   */
  async removeLeftOver(): Promise<void> {
    const { files, directory } = this.#options;
    for (let oldest = this.#leftOver[0]; oldest !== undefined; oldest = this.#leftOver[0]) {
      await files.remove(this.#path(oldest));
      await files.syncDirectory(directory);
      this.#leftOver = this.#leftOver.slice(1);
    }
  }

  async close(): Promise<void> {
    const prepared = this.#prepared;
    const current = this.#current;
    this.#prepared = null;
    this.#current = null;
    await current?.file.close();
    const spare = await prepared?.catch(() => null);
    await spare?.file.close();
  }

  #newest(): Segment {
    return present(this.#segments.at(-1), 'the newest segment');
  }

  #path(sequence: number): string {
    return join(this.#options.directory, segmentName(sequence));
  }

  #recorded(batches: readonly RecordedBatch[], bytes: number): void {
    this.#end += bytes;
    this.#nextRecord += 1;
    for (const batch of batches) this.#segments = afterBatch(this.#segments, batch);
  }

  async #begin(
    stand: LogStand,
    batches: readonly RecordedBatch[],
    sequence = (this.#segments.at(-1)?.sequence ?? 0) + 1,
  ): Promise<void> {
    const { files, directory, storeId } = this.#options;
    const address = { segment: sequence, record: this.#nextRecord };
    const header = encodeHeader({ version: WAL_FORMAT_VERSION, storeId, stand }, address);
    const record = batches.length === 0 ? Buffer.alloc(0) : encodeRecord(batches, address);
    const opened = await this.#takePrepared(header.length + record.length);
    await opened.file.writeDurably(header, 0);
    if (record.length > 0) await opened.file.writeDurably(record, header.length);
    await files.rename({ from: join(directory, PREPARED_NAME), to: this.#path(sequence) });
    await files.syncDirectory(directory);
    const before = this.#current;
    this.#current = opened;
    this.#segments = [...this.#segments, { sequence, begins: stand.last, start: 'follows' }];
    this.#end = header.length;
    if (record.length > 0) this.#recorded(batches, record.length);
    await before?.file.close();
  }

  #prepareNext(): void {
    if (this.#prepared !== null) return;
    this.#prepared = this.#prepare();
    // A failure is met by whoever takes the segment.
    this.#prepared.catch(() => undefined);
  }

  async #prepare(): Promise<OpenSegment> {
    const { files, directory, segmentBytes } = this.#options;
    const file = await files.open(join(directory, PREPARED_NAME), 'create');
    await fillWithZeros(file, { from: 0, to: segmentBytes });
    return { file, bytes: segmentBytes };
  }

  async #takePrepared(bytesMin: number): Promise<OpenSegment> {
    this.#prepareNext();
    const prepared = await present(this.#prepared, 'a prepared segment');
    this.#prepared = null;
    if (prepared.bytes >= bytesMin) return prepared;
    await fillWithZeros(prepared.file, { from: prepared.bytes, to: bytesMin });
    return { file: prepared.file, bytes: bytesMin };
  }

  /** A crash may have left one behind, half prepared. */
  async #removePrepared(): Promise<void> {
    const { files, directory } = this.#options;
    const names = await files.list(directory);
    if (names.includes(PREPARED_NAME)) await files.remove(join(directory, PREPARED_NAME));
  }
}
