import { LIMITS } from '../base/limits.ts';
import { adminResetsRowCodec } from '../proto/users.ts';
import { plaintextOf, type Row, type RowPlace } from './row.ts';
import type { RowChanges } from './rowChanges.ts';

/**
 * The resets of the administrator that were obeyed last, so that none of them is obeyed again. Apart from the user, who may be
 * deleted.
 */
export class AdminResets {
  readonly #changes: RowChanges;
  #row: Row | null = null;
  /** The latest last. */
  #ids: readonly string[] = [];

  constructor(changes: RowChanges) {
    this.#changes = changes;
  }

  wasObeyed(id: string): boolean {
    return this.#ids.includes(id);
  }

  note(id: string, { number, sub }: Pick<RowPlace, 'number' | 'sub'>): void {
    this.#ids = [...this.#ids, id].slice(-LIMITS.adminResetsRemembered);
    if (this.#row !== null) this.#changes.drop(this.#row);
    this.#row = this.#changes.create(
      { table: 'd', number, sub },
      adminResetsRowCodec.encode({ ids: this.#ids }),
    );
  }

  load(row: Row, encoded: Buffer): void {
    this.#ids = [...adminResetsRowCodec.decode(plaintextOf(encoded)).ids];
    this.#row = this.#changes.loaded(row);
  }
}
