import { join } from 'node:path';
import { systemErrorCode } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { polled, type Scheduler } from '../../base/scheduler.ts';
import type { Entry } from '../raft/types.ts';
import { unreadable } from './refusals.ts';
import { segmentName } from './segment.ts';
import { LogReader, type LogSource } from './segmentReader.ts';

/** What a look at a log that is in use has found. */
export interface VerifiedLog {
  readonly segments: number;
  readonly bytes: number;
  /** What does not check out, naming segment and offset; null: nothing. */
  readonly damage: string | null;
}

/** The part of a log that is durable at some moment: what is there does not change any more, but may be removed. */
export interface DurablePart {
  /** Of its segments, ascending; never empty. */
  readonly sequences: readonly number[];
  /** Where the last record of the newest one ends. */
  readonly end: number;
}

export interface Verification {
  /** Now. */
  readonly durable: () => DurablePart;
  /** Called with the bytes of each segment before they are looked at; false ends the pass. */
  readonly pace: (bytes: number) => Promise<boolean>;
  readonly scheduler: Scheduler;
}

/**
 * Reads what is durable of a log that is in use and verifies it as `readSegments` does, a short turn of the event loop
 * at a time. Segments that are removed meanwhile are left out. Keeps no payload.
 * @throws HoldfastError DISK_FAILED (unreadable), DATA_DIR_INVALID, VERSION_UNSUPPORTED
 */
export async function verifyLog(source: LogSource, verification: Verification): Promise<VerifiedLog> {
  const { durable, pace, scheduler } = verification;
  const { sequences, end } = durable();
  const breathe = turnsOf(scheduler);
  const begin = (): LogReader => new LogReader(source, { keep: chainOnly, breathe });
  let reader = begin();
  let [segments, bytes] = [0, 0];
  for (const sequence of sequences) {
    const found = await readIfPresent(source, sequence);
    if (sequence < (durable().sequences[0] ?? 0)) {
      // Whatever came before it is not needed either, and the log begins with a later one.
      reader = begin();
      continue;
    }
    const contents = sequence === sequences.at(-1) ? found?.subarray(0, end) : found;
    if (contents === undefined) return { segments, bytes, damage: missing(source, sequence) };
    if (!(await pace(contents.length))) break;
    await reader.read(sequence, contents, false);
    segments += 1;
    bytes += contents.length;
    if (reader.unsound !== null) break;
  }
  return { segments, bytes, damage: reader.unsound };
}

/** Copies of what would else keep all the bytes of a segment. */
const NO_PAYLOAD = new Uint8Array(0);
const chainOnly = (entry: Entry): Entry => ({ ...entry, hash: Buffer.from(entry.hash), payload: NO_PAYLOAD });

/** After so many bytes others have their turn. */
function turnsOf(scheduler: Scheduler): (bytes: number) => Promise<void> | null {
  let sinceTurn = 0;
  return (bytes) => {
    sinceTurn += bytes;
    if (sinceTurn < LIMITS.walVerifyTurnBytes) return null;
    sinceTurn = 0;
    return polled(scheduler);
  };
}

async function readIfPresent({ directory, files }: LogSource, sequence: number): Promise<Buffer | undefined> {
  const path = join(directory, segmentName(sequence));
  try {
    return await files.read(path);
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return undefined;
    throw unreadable(path, thrown);
  }
}

function missing({ directory }: LogSource, sequence: number): string {
  return `${join(directory, segmentName(sequence))}: the segment is missing`;
}
