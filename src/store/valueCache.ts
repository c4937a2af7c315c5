import { present } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import { type Row, unshared } from './row.ts';

/** Keeps the plaintext of rows that are on disk, the least recently used going first. */
export class ValueCache {
  readonly #rows = new Set<Row>();
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number = LIMITS.valueCacheBytesMax) {
    this.#bytesMax = bytesMax;
  }

  /** Takes a row whose `encoded` is set and on disk. */
  add(row: Row): void {
    this.#rows.add(row);
    this.#bytes += present(row.encoded, 'plaintext of a cached row').length;
    while (this.#bytes > this.#bytesMax) {
      // A new iterator each time: one that is kept keeps every table that the set was laid out in since.
      this.remove(present(this.#rows.values().next().value, 'oldest row of the cache'));
    }
  }

  /** It was used just now: it stays longer than those that were written with it, so it leaves their memory. */
  touch(row: Row): void {
    if (!this.#rows.delete(row)) return;
    this.#rows.add(row);
    row.encoded = unshared(present(row.encoded, 'plaintext of a cached row'));
  }

  /** Forgets a row's plaintext, when it is in the cache. */
  remove(row: Row): void {
    if (!this.#rows.delete(row)) return;
    this.#bytes -= row.encoded?.length ?? 0;
    row.encoded = null;
  }

  get bytes(): number {
    return this.#bytes;
  }
}
