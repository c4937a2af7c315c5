import type { LogIndex } from '../../base/ids.ts';
import { entryBytes } from '../raft/log.ts';
import type { Entry } from '../raft/types.ts';

export interface LogWindow {
  readonly entries: number;
  readonly bytes: number;
}

export interface LogWindows {
  /** So many applied entries are kept, so that a follower that was away a moment needs no snapshot. */
  readonly trailing: LogWindow;
  /** And no more than so many for members that are catching up. */
  readonly held: LogWindow;
}

/** Knows how large the entries are that the log holds, and says up to where it may be cut. */
export class CompactionWindow {
  readonly #windows: LogWindows;
  /** Sizes of the entries from `#base + 1` on. */
  #sizes: number[] = [];
  #base: LogIndex;

  constructor(windows: LogWindows, base: LogIndex) {
    this.#windows = windows;
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
   * @param neededFrom all behind this is needed by members that are catching up
   */
  target(durable: LogIndex, neededFrom: () => LogIndex): LogIndex | null {
    const { trailing, held } = this.#windows;
    const usual = this.#before(durable, trailing);
    if (!this.#isWorthIt(usual)) return null;
    const needed = neededFrom();
    if (needed >= usual) return usual;
    const target = Math.max(needed, this.#before(durable, held));
    return this.#isWorthIt(target) ? target : null;
  }

  /** The last index before as many entries as a window holds, of those up to `durable`. */
  #before(durable: LogIndex, window: LogWindow): LogIndex {
    let kept = 0;
    let keptBytes = 0;
    let index = durable;
    for (; index > this.#base && kept < window.entries; index -= 1) {
      keptBytes += this.sizeAt(index);
      if (keptBytes > window.bytes) break;
      kept += 1;
    }
    return index;
  }

  #isWorthIt(index: LogIndex): boolean {
    if (index <= this.#base) return false;
    const { entries, bytes } = this.#windows.trailing;
    const gained = this.#sizes.slice(0, index - this.#base);
    const gainedBytes = gained.reduce((sum, size) => sum + size, 0);
    return gained.length * 10 >= entries || gainedBytes * 10 >= bytes;
  }

  compacted(base: LogIndex): void {
    this.#sizes = this.#sizes.slice(base - this.#base);
    this.#base = base;
  }
}
