import type { LogIndex } from '../../base/ids.ts';
import { entryBytes } from '../raft/log.ts';
import type { Entry } from '../raft/types.ts';

export interface TrailingWindow {
  /** So many applied entries are kept, so that a follower that was away a moment needs no snapshot. */
  readonly entries: number;
  readonly bytes: number;
}

/** Knows how large the entries are that the log holds, and says up to where it may be cut. */
export class CompactionWindow {
  readonly #window: TrailingWindow;
  /** Sizes of the entries from `#base + 1` on. */
  #sizes: number[] = [];
  #base: LogIndex;

  constructor(window: TrailingWindow, base: LogIndex) {
    this.#window = window;
    this.#base = base;
  }

  add(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    this.#sizes.length = Math.min(this.#sizes.length, first.index - this.#base - 1);
    for (const entry of entries) this.#sizes.push(entryBytes(entry));
  }

  /** 0 when it is not there. */
  sizeAt(index: LogIndex): number {
    return this.#sizes[index - this.#base - 1] ?? 0;
  }

  restart(base: LogIndex): void {
    this.#sizes = [];
    this.#base = base;
  }

  /**
   * Up to where to compact now that everything up to `durable` is in the state on disk, or null. A tenth of the window
   * gathers first: each compaction is a write.
   */
  target(durable: LogIndex): LogIndex | null {
    const { entries: entriesMax, bytes: bytesMax } = this.#window;
    let kept = 0;
    let keptBytes = 0;
    let index = durable;
    for (; index > this.#base && kept < entriesMax; index -= 1) {
      keptBytes += this.sizeAt(index);
      if (keptBytes > bytesMax) break;
      kept += 1;
    }
    if (index <= this.#base) return null;
    const gained = this.#sizes.slice(0, index - this.#base);
    const gainedBytes = gained.reduce((sum, size) => sum + size, 0);
    return gained.length * 10 >= entriesMax || gainedBytes * 10 >= bytesMax ? index : null;
  }

  compacted(base: LogIndex): void {
    this.#sizes = this.#sizes.slice(base - this.#base);
    this.#base = base;
  }
}
