import { assert, present } from '../../base/assert.ts';
import type { LogIndex, Term } from '../../base/ids.ts';
import { sameHash } from './entryHash.ts';
import type { Entry, Place } from './types.ts';

/** The place that the in-memory log starts after, with its hash, so that the chain goes on. */
export interface LogBase extends Place {
  readonly hash: Uint8Array;
}

/** Bytes that an entry counts for in every budget: its payload and what surrounds it. */
export function entryBytes(entry: Entry): number {
  return entry.payload.length + 64;
}

/**
 * The log in memory: every entry since the last compaction, and how far it is committed, handed out and applied.
 *
 * Invariant 2: base.index <= applied <= handedOut <= commit <= lastIndex.
 * Invariant 3: indexes are contiguous, terms never fall, each hash goes on from the one before.
 */
export class RaftLog {
  #base: LogBase;
  readonly #entries: Entry[];
  #commit: LogIndex;
  #handedOut: LogIndex;
  #applied: LogIndex;

  constructor(start: { base: LogBase; entries: readonly Entry[]; commit: LogIndex; applied: LogIndex }) {
    this.#base = start.base;
    this.#entries = [...start.entries];
    let before: Place = start.base;
    for (const entry of start.entries) {
      assert(entry.index === before.index + 1, 'I3: stored entries are contiguous');
      assert(entry.term >= before.term, 'I3: terms of stored entries never fall');
      before = entry;
    }
    this.#commit = start.commit;
    this.#applied = start.applied;
    this.#handedOut = start.applied;
    this.#check();
  }

  get base(): LogBase {
    return this.#base;
  }

  get firstIndex(): LogIndex {
    return this.#base.index + 1;
  }

  get lastIndex(): LogIndex {
    return this.#base.index + this.#entries.length;
  }

  get last(): LogBase {
    return this.#entries.at(-1) ?? this.#base;
  }

  get commit(): LogIndex {
    return this.#commit;
  }

  /** The last index handed to the host for applying. */
  get handedOut(): LogIndex {
    return this.#handedOut;
  }

  get applied(): LogIndex {
    return this.#applied;
  }

  entryAt(index: LogIndex): Entry | null {
    return this.#entries[index - this.#base.index - 1] ?? null;
  }

  /** Place and hash at `index`, the base included; null when compacted away or not there yet. */
  at(index: LogIndex): LogBase | null {
    return index === this.#base.index ? this.#base : this.entryAt(index);
  }

  termAt(index: LogIndex): Term | null {
    return this.at(index)?.term ?? null;
  }

  /** Entries from `from` up to `through`, as many as fit into `bytesMax` but at least one. */
  slice(from: LogIndex, options: { through: LogIndex; bytesMax: number }): Entry[] {
    const taken: Entry[] = [];
    let bytes = 0;
    for (let index = from; index <= options.through; index += 1) {
      const entry = present(this.entryAt(index), `log entry ${index}`);
      bytes += entryBytes(entry);
      if (taken.length > 0 && bytes > options.bytesMax) break;
      taken.push(entry);
    }
    return taken;
  }

  /** The largest index at or below `index` whose term is at most `term`: where two logs may still agree. */
  lastAtOrBelowTerm(index: LogIndex, term: Term): Place {
    let candidate = Math.min(index, this.lastIndex);
    while (candidate > this.#base.index) {
      const found = this.termAt(candidate);
      if (found !== null && found <= term) return { index: candidate, term: found };
      candidate -= 1;
    }
    // Below the base nothing is known: term 0 tells the other side to look no further.
    return candidate === this.#base.index && this.#base.term <= term
      ? { index: candidate, term: this.#base.term }
      : { index: Math.max(0, candidate - 1), term: 0 };
  }

  /** How many of `entries` are in the log already, from the first on. */
  knownPrefix(entries: readonly Entry[]): number {
    for (let known = 0; known < entries.length; known += 1) {
      const entry = present(entries[known], 'entry');
      const own = this.at(entry.index);
      if (own === null || own.term !== entry.term || !sameHash(own.hash, entry.hash)) return known;
    }
    return entries.length;
  }

  append(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, 'I3: appended entries are contiguous');
    assert(entry.term >= this.last.term, 'I3: terms never fall');
    this.#entries.push(entry);
  }

  /** Cuts the log from `index` on. Invariant 5: never at or below the commit index. */
  truncateFrom(index: LogIndex): void {
    assert(
      index > this.#commit,
      `I5: entry ${index} conflicts with the leader but ${this.#commit} is committed`,
    );
    this.#entries.length = index - this.#base.index - 1;
  }

  /** Invariants 4 and 7: forward only, and never past the end of the log. */
  commitTo(index: LogIndex): boolean {
    if (index <= this.#commit) return false;
    assert(
      index <= this.lastIndex,
      `I7: commit ${index} is past the end ${this.lastIndex}: log lost or corrupt`,
    );
    this.#commit = index;
    return true;
  }

  /** The next committed entries that are durable here, each exactly once. */
  takeCommitted(options: { stable: LogIndex; bytesMax: number }): Entry[] {
    const through = Math.min(this.#commit, options.stable);
    const entries = this.slice(this.#handedOut + 1, { through, bytesMax: options.bytesMax });
    this.#handedOut += entries.length;
    return entries;
  }

  appliedTo(index: LogIndex): void {
    assert(
      index >= this.#applied && index <= this.#handedOut,
      `I2: applied ${index} is not between ${this.#applied} and ${this.#handedOut}`,
    );
    this.#applied = index;
  }

  /** Whether an entry of type configuration lies above the applied index, up to `through`. */
  hasUnappliedConfiguration(through: LogIndex): boolean {
    for (let index = this.#applied + 1; index <= through; index += 1) {
      if (this.entryAt(index)?.type === 'configuration') return true;
    }
    return false;
  }

  /** Drops the entries up to `index` from memory and gives them back. */
  compact(index: LogIndex): Entry[] {
    assert(index <= this.#applied, `I2: compaction at ${index} passes applied ${this.#applied}`);
    if (index <= this.#base.index) return [];
    const count = index - this.#base.index;
    this.#base = baseOf(present(this.entryAt(index), 'entry to compact at'));
    return this.#entries.splice(0, count);
  }

  /** The state is now that of a snapshot at a place that this log holds: goes on from there. */
  fastForward(index: LogIndex): void {
    this.commitTo(index);
    this.#handedOut = Math.max(this.#handedOut, index);
    this.#applied = Math.max(this.#applied, index);
    this.#check();
  }

  /** The whole log gives way to a snapshot. */
  replaceBy(base: LogBase): void {
    assert(
      base.index > this.#commit,
      `I20: snapshot ${base.index} is not above the commit index ${this.#commit}`,
    );
    this.#base = baseOf(base);
    this.#entries.length = 0;
    this.#commit = base.index;
    this.#handedOut = base.index;
    this.#applied = base.index;
  }

  #check(): void {
    const ordered =
      this.#base.index <= this.#applied &&
      this.#applied <= this.#handedOut &&
      this.#handedOut <= this.#commit &&
      this.#commit <= this.lastIndex;
    assert(
      ordered,
      `I2: base ${this.#base.index}, applied ${this.#applied}, commit ${this.#commit}, last ${this.lastIndex}`,
    );
  }
}

function baseOf(place: LogBase): LogBase {
  return { index: place.index, term: place.term, hash: place.hash };
}
