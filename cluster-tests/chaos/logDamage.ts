import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { FRAME_BYTES, peekRecordNumber } from '../../src/replication/wal/frame.ts';
import { segmentName, segmentSequences } from '../../src/replication/wal/segment.ts';
import { readSlot, WATERMARK_SLOT_BYTES } from '../../src/replication/wal/watermark.ts';
import { WATERMARK_NAME } from '../../src/replication/wal/watermarkFile.ts';
import { recordOffsets } from '../../test/replication/wal/recordOffsets.ts';
import type { SeededChoice } from './seededChoice.ts';

/** How far from the end of the log it may be torn. */
const TORN_RECORDS_MAX = 200;

/**
 * The part of a segment whose loss is promised to be found: the records that the watermark names. What was written
 * after them and is lost looks like a torn write, and a segment is preallocated: behind its records are only zeros.
 */
export interface NamedPart {
  readonly path: string;
  readonly bytes: Buffer;
  /** Where each named record begins; never empty. */
  readonly records: readonly number[];
  /** Where the last named record ends. */
  readonly end: number;
}

/** The segments of the log in this folder that hold named records, oldest first. Its process has to be gone. */
export function namedParts(directory: string): readonly NamedPart[] {
  const named = namedRecord(directory);
  return segmentSequences(readdirSync(directory)).flatMap((sequence) => {
    const path = join(directory, segmentName(sequence));
    const bytes = readFileSync(path);
    // The first is the header.
    const offsets = recordOffsets(bytes).slice(1);
    const records = offsets
      .slice(0, -1)
      .filter((at) => peekRecordNumber(bytes.subarray(at, at + FRAME_BYTES)) <= named);
    const end = offsets[records.length];
    return records.length === 0 || end === undefined ? [] : [{ path, bytes, records, end }];
  });
}

/** Number of the last record in this folder, named or not; 0 when there is none. */
export function lastRecord(directory: string): number {
  const sequence = segmentSequences(readdirSync(directory)).at(-1);
  if (sequence === undefined) return 0;
  const bytes = readFileSync(join(directory, segmentName(sequence)));
  const [header = 0, ...records] = recordOffsets(bytes).slice(0, -1);
  // A header bears the number of the record that is to follow it.
  return peekRecordNumber(bytes.subarray(records.at(-1) ?? header)) - (records.length === 0 ? 1 : 0);
}

/** Number of the last record that the watermark names; 0 when it cannot be read. */
export function namedRecord(directory: string): number {
  const bytes = readFileSync(join(directory, WATERMARK_NAME));
  let newest = { sequence: 0, record: 0 };
  for (let from = 0; from < bytes.length; from += WATERMARK_SLOT_BYTES) {
    const reading = readSlot(bytes.subarray(from, from + WATERMARK_SLOT_BYTES));
    if (reading.kind !== 'sound' || reading.slot.sequence <= newest.sequence) continue;
    newest = { sequence: reading.slot.sequence, record: reading.slot.watermark.record };
  }
  return newest.record;
}

/** The log loses its end, from within a record that is named on: cut off, zeroed, or a bit in it flipped. Null: it has none. */
export function tearTail(directory: string, random: SeededChoice): string | null {
  const part = namedParts(directory).at(-1);
  if (part === undefined) return null;
  const { path, bytes, records, end } = part;
  const back = random.logarithmic(1, Math.min(records.length, TORN_RECORDS_MAX));
  const start = records.at(-back) ?? 0;
  const at = random.integer(start, (records.at(records.length - back + 1) ?? end) - 1);
  const how = random.one(['cut', 'zeros', 'flip'] as const);
  const where = `${segmentOf(path)} at ${at}, in the last named record but ${back - 1} of ${records.length}`;
  if (how === 'flip') {
    flipBit(path, at, random.integer(0, 7));
    return `bit flipped: ${where}`;
  }
  if (how === 'cut') {
    edit(path, (file) => ftruncateSync(file, at));
    return `cut off: ${where}`;
  }
  // The end of a record may be zeros anyway.
  const from = bytes.subarray(at, end).every((byte) => byte === 0) ? start : at;
  const zeros = Buffer.alloc((recordOffsets(bytes).at(-1) ?? end) - from);
  edit(path, (file) => writeSync(file, zeros, 0, zeros.length, from));
  return `zeros from there on: ${where}`;
}

export function flipBit(path: string, offset: number, bit: number): void {
  const byte = Buffer.alloc(1);
  edit(path, (file) => {
    readSync(file, byte, 0, 1, offset);
    byte[0] = (byte[0] ?? 0) ^ (1 << bit);
    writeSync(file, byte, 0, 1, offset);
  });
}

function edit(path: string, change: (file: number) => void): void {
  const file = openSync(path, 'r+');
  try {
    change(file);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

const segmentOf = (path: string): string => path.split('/').at(-1) ?? path;
