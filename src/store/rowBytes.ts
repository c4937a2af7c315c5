import type { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { type Database, runningFailure } from './database.ts';
import { encodeRow, type Row, rowDigest, rowKey } from './row.ts';
import { corruptRow, type RowSealer } from './rowSealer.ts';
import { ValueCache } from './valueCache.ts';

export interface RowBytesOptions {
  readonly database: Database;
  readonly sealer: RowSealer;
  /** The disk does not give what it was given: the node must stop. */
  readonly onFatal: (error: HoldfastError) => void;
  readonly cacheBytesMax?: number;
}

/** Gives the plaintext of rows: what waits for the disk and what is cached at once, the rest from LevelDB. */
export class RowBytes {
  readonly #options: RowBytesOptions;
  readonly #cache: ValueCache;

  constructor(options: RowBytesOptions) {
    this.#options = options;
    this.#cache = new ValueCache(options.cacheBytesMax ?? LIMITS.valueCacheBytesMax);
  }

  /** Place and plaintext. @throws HoldfastError DISK_FAILED, STATE_CORRUPT; then the node is stopping already */
  encoded(row: Row): Buffer {
    if (row.encoded !== null) {
      this.#cache.touch(row);
      return row.encoded;
    }
    try {
      const encoded = this.#fetch(row);
      row.encoded = encoded;
      this.#cache.add(row);
      return encoded;
    } catch (thrown) {
      const error = runningFailure(thrown);
      this.#options.onFatal(error);
      throw error;
    }
  }

  /** A row has reached the disk: its plaintext is kept only as long as there is room. */
  written(row: Row): void {
    if (row.table === 'k' && !row.dropped) {
      this.#cache.add(row);
      return;
    }
    if (row.table === 's') row.encoded?.fill(0);
    row.encoded = null;
  }

  /** A row has left the state. */
  forget(row: Row): void {
    this.#cache.remove(row);
  }

  #fetch(row: Row): Buffer {
    const { database, sealer } = this.#options;
    const encoded = encodeRow(row, sealer.openOrCorrupt(row, database.getSync(rowKey(row))));
    if (rowDigest(encoded) !== row.digest) throw corruptRow(row, 'is not what was written');
    return encoded;
  }
}
