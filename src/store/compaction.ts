import { assert } from '../base/assert.ts';
import type { RecordVersion } from './keyIndex.ts';
import type { Records } from './records.ts';

export interface HistoryBounds {
  /** These newest revisions stay, however old. */
  readonly revisionsKept: number;
  /** More than this are never kept. */
  readonly revisionsMax: number;
  readonly ageMs: number;
  readonly bytesMax: number;
  /** Records taken away, and revisions moved over, for one entry; the entry's own records allow for more. */
  readonly stepRecordsMax: number;
}

/**
 * Moves the compaction point as far as the bounds say, and takes away what lies below it: of every key all
 * versions before the newest at or below the point, and that one too when it is a deletion.
 *
 * A pure function of the state and its arguments that does a bounded part of the work for each entry, so every
 * node takes the same rows away at the same entry, restarted or not: what is left to do can be seen from the rows
 * and the point alone, since a version is taken away when compaction passes the one that follows it.
 */
export function compactStep(
  records: Records,
  bounds: HistoryBounds,
  entry: { readonly timeMs: number; readonly writtenRecords: number },
): void {
  // A record written can make two superfluous and move the point over one revision: history never outgrows this.
  let budget = bounds.stepRecordsMax + entry.writtenRecords * 3;
  while (budget > 0) {
    const first = records.events.first();
    if (first === undefined) return;
    if (first.number > records.compactedRevision) {
      if (!isSuperfluous(first, { records, bounds, timeMs: entry.timeMs })) return;
      moveTo(records, first.number);
      budget -= 1;
    }
    budget -= pass(records, first);
  }
}

/** The point moves at once, whatever is still to be taken away. Must be above the present one. */
export function moveTo(records: Records, revision: number): void {
  assert(revision > records.compactedRevision, 'the compaction point only moves up');
  assert(revision <= records.revision, 'the compaction point is a revision that exists');
  records.compactedRevision = revision;
}

function isSuperfluous(
  version: RecordVersion,
  { records, bounds, timeMs }: { records: Records; bounds: HistoryBounds; timeMs: number },
): boolean {
  const age = records.revision - version.number;
  if (age >= bounds.revisionsMax || records.historyBytes > bounds.bytesMax) return true;
  return age >= bounds.revisionsKept && version.timeMs + bounds.ageMs <= timeMs;
}

/** Takes away what this version, at or below the point, makes superfluous. Returns how many records went. */
function pass(records: Records, version: RecordVersion): number {
  const { entry } = version;
  let gone = 0;
  while (entry.versions[entry.head] !== version) {
    const oldest = entry.versions[entry.head];
    assert(oldest !== undefined && oldest.number < version.number, 'a version is preceded by older ones');
    records.dropOldest(oldest);
    gone += 1;
  }
  if (version.deleted) {
    records.dropOldest(version);
    gone += 1;
  }
  records.events.removeFirst();
  return gone;
}

/** The log time from which compaction has something to do, or null. */
export function compactionDueMs(records: Records, bounds: HistoryBounds): number | null {
  const first = records.events.first();
  if (first === undefined) return null;
  const tooMuch = records.historyBytes > bounds.bytesMax;
  if (first.number <= records.compactedRevision || tooMuch) return 0;
  if (records.revision - first.number < bounds.revisionsKept) return null;
  return first.timeMs + bounds.ageMs;
}
