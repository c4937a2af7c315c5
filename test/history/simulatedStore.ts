import type { KeyEvent, Seen } from '../../cluster-tests/history/types.ts';
import { present } from '../../src/base/assert.ts';

/** A store in memory that keeps all that ever was: plain code of its own, so that the checkers do not check themselves. */
export class SimulatedStore {
  revision = 0;
  readonly events: KeyEvent[] = [];
  readonly #items = new Map<string, Seen>();

  item(key: string): Seen | null {
    return this.#items.get(key) ?? null;
  }

  items(prefix: string): readonly Seen[] {
    return [...this.#items.values()]
      .filter(({ key }) => key.startsWith(prefix))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  itemAt(key: string, revision: number): Seen | null {
    let found: Seen | null = null;
    for (const event of this.events) {
      if (event.mod > revision) break;
      if (event.key === key) found = event.type === 'delete' ? null : toSeen(event);
    }
    return found;
  }

  /** A value of null deletes. Returns the revision; without changes the present one. */
  write(changes: ReadonlyMap<string, string | null>): number {
    const real = [...changes].filter(([key, value]) => value !== null || this.#items.has(key));
    if (real.length === 0) return this.revision;
    this.revision += 1;
    for (const [key, value] of real) this.#change(key, value);
    return this.revision;
  }

  #change(key: string, value: string | null): void {
    const previous = this.item(key);
    const mod = this.revision;
    if (value === null) {
      this.events.push({ type: 'delete', key, value: '', version: 0, mod, create: 0, previous });
      this.#items.delete(key);
      return;
    }
    const version = (previous?.version ?? 0) + 1;
    const item = { key, value, version, mod, create: previous?.create ?? mod };
    this.#items.set(key, item);
    this.events.push({ type: 'put', ...item, previous });
  }

  /** Forgets that the last revision changed `key`, as a store that has lost it would. */
  undo(key: string): void {
    const at = this.events.findLastIndex((event) => event.key === key);
    const [event] = this.events.splice(at, 1);
    const previous = present(event, 'the event').previous ?? null;
    if (previous === null) this.#items.delete(key);
    else this.#items.set(key, previous);
  }
}

function toSeen({ key, value, version, mod, create }: Seen): Seen {
  return { key, value, version, mod, create };
}
