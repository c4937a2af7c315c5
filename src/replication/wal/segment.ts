import { LIMITS } from '../../base/limits.ts';
import type { SnapshotMetadata } from '../raft/types.ts';
import { batchBytes, headerBytes, type SegmentHeader, writeBatch, writeHeader } from './codec.ts';
import { encodeFrame, FRAME_BYTES, isZero, ZEROS } from './frame.ts';
import type { RecordedBatch } from './logShape.ts';
import type { SegmentFile } from './segmentFiles.ts';
import type { ChainEnd } from './types.ts';

/** A segment on disk, as far as it matters for which segments can be removed. */
export interface Segment {
  readonly sequence: number;
  /** The last entry when the segment was begun. */
  readonly begins: ChainEnd;
  /**
   * What a reader that starts with this segment would meet.
   * `follows`: entries after `begins`. `reset`: a snapshot that replaces the log, so `begins` does not matter.
   * `cuts`: a suffix that reaches below `begins`, so the segments before are needed to know what it follows.
   */
  readonly start: 'follows' | 'reset' | 'cuts';
}

const NAME = /^([0-9a-f]{16})\.wal$/;

/** What a segment that is being prepared is called; never part of the log. */
export const PREPARED_NAME = 'next.prepared';

export function segmentName(sequence: number): string {
  return `${sequence.toString(16).padStart(16, '0')}.wal`;
}

/** The sequences of the segments among these file names, ascending. Other names are not ours. */
export function segmentSequences(names: readonly string[]): number[] {
  return names
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map((digits) => Number.parseInt(digits, 16))
    .toSorted((a, b) => a - b);
}

/** The segments after one more batch was recorded in the last of them. */
export function afterBatch(segments: readonly Segment[], batch: RecordedBatch): Segment[] {
  const firstIndex = batch.entries[0]?.index;
  return segments.map((segment) => {
    if (segment.start !== 'follows') return segment;
    if (batch.snapshot !== null) return { ...segment, start: 'reset' };
    if (firstIndex !== undefined && firstIndex <= segment.begins.index) return { ...segment, start: 'cuts' };
    return segment;
  });
}

/** How many of the oldest segments hold nothing that a log beginning at `base` needs. The newest always stays. */
export function countUnneeded(segments: readonly Segment[], base: SnapshotMetadata): number {
  const canBegin = ({ start, begins }: Segment): boolean =>
    start === 'reset' || (start === 'follows' && begins.index <= base.index);
  return Math.max(0, segments.findLastIndex(canBegin));
}

/** The first record of a segment. Its record number is that of the first batch record after it. */
export function encodeHeader(header: SegmentHeader, address: { segment: number; record: number }): Buffer {
  const write = (target: Buffer, offset: number): number => writeHeader(header, target, offset);
  return encodeFrame({ type: 'header', ...address }, { bytes: headerBytes(header), write });
}

/** Bytes of a record that holds these batches. */
export function recordBytes(batches: readonly RecordedBatch[]): number {
  let bytes = FRAME_BYTES;
  for (const batch of batches) bytes += batchBytes(batch);
  return bytes;
}

/**
 * One record for all batches, so that after a crash all of them are there or none. With a `scratch` the record is
 * valid until the next one is encoded into it.
 */
export function encodeRecord(
  batches: readonly RecordedBatch[],
  address: { readonly segment: number; readonly record: number },
  scratch?: Buffer,
): Buffer {
  const write = (target: Buffer, start: number): number => {
    let offset = start;
    for (const batch of batches) offset = writeBatch(batch, target, offset);
    return offset;
  };
  const bytes = recordBytes(batches) - FRAME_BYTES;
  return encodeFrame({ type: 'batch', ...address }, { bytes, write }, scratch);
}

/** Writes real zero bytes, so that a later fdatasync has no size or extent to write. */
export async function fillWithZeros(
  file: SegmentFile,
  range: { readonly from: number; readonly to: number },
): Promise<void> {
  for (let position = range.from; position < range.to; position += ZEROS.length) {
    await file.writeDurably(ZEROS.subarray(0, Math.min(ZEROS.length, range.to - position)), position);
  }
  await file.sync();
}

/** Whether the bytes from `end` are as a fresh segment of `segmentBytes` has them. */
export function isPreallocated(segment: Buffer, end: number, segmentBytes: number): boolean {
  return segment.length >= segmentBytes && isZero(segment.subarray(end));
}

/** A segment size that the log accepts, in bytes. */
export function isSegmentSize(bytes: number): boolean {
  return Number.isSafeInteger(bytes) && bytes >= 4096 && bytes <= LIMITS.walSegmentBytes;
}
