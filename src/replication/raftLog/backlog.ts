import type { LogIndex } from '../../base/ids.ts';

/** Knows the bytes of the entries of the log. */
interface Sizes {
  sizeAt(index: LogIndex): number;
}

/** A full backlog counts as full until so large a part of its bound is free: what is refused has to be sent again. */
const ROOM_SHARE = 8;

/**
 * Invariant 41: the bytes of entries that are committed and not yet in the state on disk. The log in memory cannot go
 * without them, so they are bounded. What ends a full backlog is the work of this node alone, or a snapshot that it
 * pulls; so no quorum has to wait for itself. What is not committed is bounded by the leader.
 */
export class Backlog {
  readonly #bytesMax: number;
  readonly #sizes: Sizes;
  #durable: LogIndex;
  #commit: LogIndex;
  #bytes = 0;
  #full = false;

  constructor({ bytesMax, durable, sizes }: { bytesMax: number; durable: LogIndex; sizes: Sizes }) {
    this.#bytesMax = bytesMax;
    this.#sizes = sizes;
    this.#durable = durable;
    this.#commit = durable;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get full(): boolean {
    return this.#full;
  }

  /** Committed up to `index`, and durable in the log: such an entry's size is the same when it leaves. */
  committed(index: LogIndex): void {
    while (this.#commit < index) {
      this.#commit += 1;
      this.#bytes += this.#sizes.sizeAt(this.#commit);
    }
    this.#judge();
  }

  /** The state on disk is that at `index`, be it by applying or by a snapshot. */
  durable(index: LogIndex): void {
    while (this.#durable < Math.min(index, this.#commit)) {
      this.#durable += 1;
      this.#bytes -= this.#sizes.sizeAt(this.#durable);
    }
    this.#durable = Math.max(this.#durable, index);
    this.#commit = Math.max(this.#commit, index);
    this.#judge();
  }

  #judge(): void {
    const room = this.#full ? this.#bytesMax / ROOM_SHARE : 0;
    this.#full = this.#bytes >= this.#bytesMax - room;
  }
}
