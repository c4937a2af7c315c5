import { join } from 'node:path';
import { LIMITS } from '../../base/limits.ts';
import type { Damage } from './damage.ts';
import { isZero } from './frame.ts';
import type { LogStand } from './logShape.ts';
import { segmentName, segmentSequences } from './segment.ts';
import { replaceSegment, writeWhole } from './segmentCopy.ts';
import { type LogSource, readSegmentBytes } from './segmentReader.ts';
import { SegmentWriter } from './segmentWriter.ts';

/** What a segment that was damaged is called from then on, with a number; never part of the log. */
const KEPT_NAME = /^[0-9a-f]{16}\.wal\.[0-9]{4}\.damaged$/;

/** What became of files that were damaged; names in the log's folder. */
export interface Mended {
  readonly keptAside: readonly string[];
  /** Kept aside by earlier mendings; there were too many. */
  readonly removed: readonly string[];
}

/**
 * Leaves of a log its sound part alone, durably, so that it reads as whole from then on. All else is kept aside. A
 * crash between any two steps leaves a log with the same sound part, which is mended again. The caller has made
 * durable before that the log is suspect.
 * @param start what a log begins with that has no sound part at all, and the number of the record before it
 */
export async function mend(
  source: LogSource,
  damage: Damage,
  start: { readonly stand: LogStand; readonly record: number },
): Promise<Mended> {
  const { directory, files } = source;
  const names = await files.list(directory);
  const { leftOver } = damage;
  const sequences = segmentSequences(names).filter((sequence) => !leftOver.includes(sequence));
  const work: Work = { source, number: nextNumber(names), keptAside: [] };
  // First: what is left out only because of the segment behind it must not be there without that.
  await moveAside(work, leftOver);
  if (damage.offset === 0 && damage.sequence <= (sequences[0] ?? 0)) {
    await beginAnew(source, { ...start, sequence: (sequences.at(-1) ?? 0) + 1 });
    await moveAside(work, sequences);
  } else {
    const whole = damage.offset === 0 ? damage.sequence : damage.sequence + 1;
    const unsound = sequences.filter((sequence) => sequence >= whole);
    await moveAside(work, unsound);
    if (damage.offset > 0) await cutSegment(work, damage);
  }
  return { keptAside: work.keptAside, removed: await removeSurplus(work) };
}

interface Work {
  readonly source: LogSource;
  /** That of all files kept aside this time. */
  readonly number: number;
  readonly keptAside: string[];
}

/** Newest first, so that what is left has never a hole that was not there before. */
async function moveAside(work: Work, sequences: readonly number[]): Promise<void> {
  const { directory, files } = work.source;
  for (const sequence of sequences.toReversed()) {
    const to = keptName(work, sequence);
    await files.rename({ from: join(directory, segmentName(sequence)), to: join(directory, to) });
    await files.syncDirectory(directory);
    work.keptAside.push(to);
  }
}

/** Replaces the segment by its sound part at once, after a copy of it was kept. */
async function cutSegment(work: Work, { sequence, offset }: Damage): Promise<void> {
  const { directory, files } = work.source;
  const bytes = await readSegmentBytes(work.source, sequence);
  if (isZero(bytes.subarray(offset))) return;
  const kept = keptName(work, sequence);
  await writeWhole(await files.open(join(directory, kept), 'create'), bytes);
  await files.syncDirectory(directory);
  work.keptAside.push(kept);
  await replaceSegment(work.source, { sequence, bytes: bytes.subarray(0, offset), sizeMin: bytes.length });
}

/** Before the old segments go: a folder without any would be no log at all. */
async function beginAnew(
  source: LogSource,
  start: { readonly stand: LogStand; readonly record: number; readonly sequence: number },
): Promise<void> {
  const writer = await SegmentWriter.begin(source, start);
  await writer.close();
}

function keptName({ number }: Work, sequence: number): string {
  return `${segmentName(sequence)}.${String(number).padStart(4, '0')}.damaged`;
}

function nextNumber(names: readonly string[]): number {
  return Math.max(0, ...names.filter(isKeptAside).map(numberOf)) + 1;
}

/** Whether a file of this name tells that the log was mended at some start. */
export function isKeptAside(name: string): boolean {
  return KEPT_NAME.test(name);
}

function numberOf(name: string): number {
  return Number(name.split('.')[2]);
}

/** Those of the oldest mendings, never any of this one. */
async function removeSurplus({ source, number }: Work): Promise<string[]> {
  const { directory, files } = source;
  const kept = (await files.list(directory)).filter(isKeptAside);
  const older = kept
    .filter((name) => numberOf(name) !== number)
    .toSorted((a, b) => numberOf(a) - numberOf(b));
  const removed = older.slice(0, Math.max(0, kept.length - LIMITS.walKeptAsideMax));
  for (const name of removed) await files.remove(join(directory, name));
  if (removed.length > 0) await files.syncDirectory(directory);
  return removed;
}
