import { present } from '../../base/assert.ts';
import { asBuffer } from '../../base/bytes.ts';
import type { LogIndex } from '../../base/ids.ts';
import { ZERO_HASH } from '../raft/entryHash.ts';
import type { Entry, HardState, SnapshotMetadata } from '../raft/types.ts';
import type { ChainEnd, WalBatch } from './types.ts';

/** A batch as it is recorded: what the caller gave, or a release, which only raises the base. */
export interface RecordedBatch extends WalBatch {
  readonly base: SnapshotMetadata | null;
}

/** Where a log stands after a record; each segment header carries one, so that it can be read alone. */
export interface LogStand {
  /** The last entry, or the base of an empty log. */
  readonly last: ChainEnd;
  readonly hardState: HardState;
  /** The newest snapshot installed or base released. */
  readonly base: SnapshotMetadata;
}

/** The stand of a log that holds nothing: a joiner's. */
export const EMPTY_STAND: LogStand = {
  last: { index: 0, term: 0, hash: ZERO_HASH },
  hardState: { term: 0, vote: null, commit: 0 },
  base: {
    index: 0,
    term: 0,
    hash: ZERO_HASH,
    configuration: { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
  },
};

/**
 * What a sequence of batches adds up to, and which batch may follow. Used three times: before a write
 * (a problem is a defect), after a read (a problem is corruption), and as the whole of the in-memory log.
 * `Kept` is what is remembered of each entry: the entry, or only its chain end.
 */
export class LogShape<Kept extends ChainEnd> {
  readonly #keep: (entry: Entry) => Kept;
  /** The entry before the first kept one. Entries at or below it are not known here. */
  #floor: ChainEnd;
  #kept: Kept[] = [];
  #base: SnapshotMetadata;
  #hardState: HardState;

  constructor(stand: LogStand, keep: (entry: Entry) => Kept) {
    this.#keep = keep;
    this.#floor = stand.last;
    this.#base = stand.base;
    this.#hardState = stand.hardState;
  }

  get stand(): LogStand {
    return { last: this.last, hardState: this.#hardState, base: this.#base };
  }

  get last(): ChainEnd {
    return this.#kept.at(-1) ?? this.#floor;
  }

  get floor(): ChainEnd {
    return this.#floor;
  }

  get base(): SnapshotMetadata {
    return this.#base;
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  /** Contiguous from floor.index + 1. */
  get kept(): readonly Kept[] {
    return this.#kept;
  }

  /** The first reason why `batch` may not follow, or null. */
  problem(batch: RecordedBatch): string | null {
    const { snapshot, entries, hardState, base } = batch;
    const before = this.#hardState;
    if (hardState.term < before.term) return 'I1: the term went back';
    if (hardState.term === before.term && before.vote !== null && hardState.vote !== before.vote) {
      return 'I1: the vote changed within a term';
    }
    if (hardState.commit < before.commit) return 'I4: the commit index went back';
    if (snapshot !== null && snapshot.index < this.#base.index)
      return 'a snapshot lies below the base of the log';
    if (snapshot !== null && snapshot.index < before.commit) return 'I4: a snapshot drops committed entries';
    const lastIndex = entries.at(-1)?.index ?? (snapshot ?? this.last).index;
    if (hardState.commit > lastIndex) return 'I4: the commit index is past the last entry';
    return this.#entriesProblem(batch) ?? (base === null ? null : this.#baseProblem(base, hardState));
  }

  /** `batch` has been checked with `problem`. */
  apply(batch: RecordedBatch): void {
    if (batch.snapshot !== null) {
      this.#floor = batch.snapshot;
      this.#base = batch.snapshot;
      this.#kept = [];
    }
    const first = batch.entries[0];
    if (first !== undefined) {
      if (first.index <= this.last.index) this.#kept.length = first.index - this.#floor.index - 1;
      for (const entry of batch.entries) this.#kept.push(this.#keep(entry));
    }
    this.#hardState = batch.hardState;
    if (batch.base !== null) this.#raiseBase(batch.base);
  }

  /** What is known of the place at `index`: the floor or a kept entry. */
  #at(index: LogIndex): ChainEnd | undefined {
    return index === this.#floor.index ? this.#floor : this.#kept[index - this.#floor.index - 1];
  }

  /** What the first entry of `batch` follows; undefined when it follows nothing that is here. */
  previousOf({ snapshot, entries }: RecordedBatch): ChainEnd | undefined {
    const index = (entries[0]?.index ?? 0) - 1;
    if (snapshot === null) return this.#at(index);
    return snapshot.index === index ? snapshot : undefined;
  }

  #entriesProblem(batch: RecordedBatch): string | null {
    const { snapshot, entries } = batch;
    const first = entries[0];
    if (first === undefined) return null;
    const previous = this.previousOf(batch);
    if (previous === undefined) return `I3: entry ${first.index} does not follow the log`;
    if (snapshot === null && first.index <= this.#hardState.commit)
      return 'I4: a committed entry would be cut';
    let place = { index: previous.index, term: previous.term };
    for (const entry of entries) {
      if (entry.index !== place.index + 1) return `I3: entry ${entry.index} follows entry ${place.index}`;
      if (entry.term < place.term) return `I3: entry ${entry.index} has an older term than the one before`;
      if (entry.hash.length !== ZERO_HASH.length) return `I3: entry ${entry.index} has no hash`;
      place = entry;
    }
    return null;
  }

  #baseProblem(base: SnapshotMetadata, { commit }: HardState): string | null {
    if (base.index <= this.#base.index) return 'a base does not lie above the one before';
    if (base.index > this.last.index) return 'a base lies past the last entry';
    if (base.index > commit) return 'I4: a base lies past the commit index';
    if (base.index < this.#floor.index) return null;
    const there = present(this.#at(base.index), 'the entry at the base');
    if (there.term === base.term && asBuffer(there.hash).equals(base.hash)) return null;
    return `I3: the base at ${base.index} is not the entry there`;
  }

  #raiseBase(base: SnapshotMetadata): void {
    this.#base = base;
    if (base.index < this.#floor.index) return;
    this.#kept.splice(0, base.index - this.#floor.index);
    this.#floor = base;
  }
}
