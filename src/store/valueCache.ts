import { assert, present } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import { type Row, unshared } from './row.ts';

interface Link {
  readonly row: Row;
  older: Link | null;
  newer: Link | null;
}

/**
 * Keeps the plaintext of rows that are on disk, the least recently used going first. Linked by hand: the first entry of a `Set`
 * from which the first was taken again and again is found behind all the places that are free.
 */
export class ValueCache {
  readonly #links = new Map<Row, Link>();
  readonly #bytesMax: number;
  #oldest: Link | null = null;
  #newest: Link | null = null;
  #bytes = 0;

  constructor(bytesMax: number = LIMITS.valueCacheBytesMax) {
    this.#bytesMax = bytesMax;
  }

  /** Takes a row whose `encoded` is set and on disk, and that is not in the cache. */
  add(row: Row): void {
    assert(!this.#links.has(row), 'a row is in the cache once');
    const link: Link = { row, older: null, newer: null };
    this.#links.set(row, link);
    this.#append(link);
    this.#bytes += present(row.encoded, 'plaintext of a cached row').length;
    while (this.#bytes > this.#bytesMax) this.remove(present(this.#oldest, 'oldest row of the cache').row);
  }

  /** It was used just now: it stays longer than those that were written with it, so it leaves their memory. */
  touch(row: Row): void {
    const link = this.#links.get(row);
    if (link === undefined) return;
    this.#unlink(link);
    this.#append(link);
    row.encoded = unshared(present(row.encoded, 'plaintext of a cached row'));
  }

  /** Forgets a row's plaintext, when it is in the cache. */
  remove(row: Row): void {
    const link = this.#links.get(row);
    if (link === undefined) return;
    this.#links.delete(row);
    this.#unlink(link);
    this.#bytes -= row.encoded?.length ?? 0;
    row.encoded = null;
  }

  get bytes(): number {
    return this.#bytes;
  }

  #append(link: Link): void {
    link.older = this.#newest;
    if (this.#newest === null) this.#oldest = link;
    else this.#newest.newer = link;
    this.#newest = link;
  }

  #unlink(link: Link): void {
    if (link.older === null) this.#oldest = link.newer;
    else link.older.newer = link.newer;
    if (link.newer === null) this.#newest = link.older;
    else link.newer.older = link.older;
    link.older = null;
    link.newer = null;
  }
}
