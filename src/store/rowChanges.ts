import { newRow, type Row, type RowPlace } from './row.ts';
import { StateDigest } from './stateDigest.ts';

/** What one entry does to the rows, and the digest of all rows that are in the state. */
export class RowChanges {
  readonly digest = new StateDigest();
  #puts: Row[] = [];
  #deletes: Row[] = [];
  #bytes = 0;

  /** A new row of this entry. */
  put<T extends Row>(row: T): T {
    this.digest.add(row.digest);
    this.#puts.push(row);
    this.#bytes += row.encoded?.length ?? 0;
    return row;
  }

  /** A new row with this plaintext. */
  create(place: RowPlace, plaintext: Uint8Array): Row {
    return this.put(newRow(place, plaintext));
  }

  /** A row leaves the state. */
  drop(row: Row): void {
    this.digest.subtract(row.digest);
    row.dropped = true;
    this.#deletes.push(row);
  }

  /** A row that was read from disk. */
  loaded<T extends Row>(row: T): T {
    this.digest.add(row.digest);
    return row;
  }

  /** The changes since the last call. */
  take(): { readonly puts: readonly Row[]; readonly deletes: readonly Row[]; readonly bytes: number } {
    const taken = { puts: this.#puts, deletes: this.#deletes, bytes: this.#bytes };
    this.#puts = [];
    this.#deletes = [];
    this.#bytes = 0;
    return taken;
  }
}
