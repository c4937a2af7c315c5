import { present } from '../../src/base/assert.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { Database, DatabaseBatch, DatabaseRow, DatabaseSnapshot } from '../../src/store/database.ts';
import type { Generations } from '../../src/store/stateFolder.ts';
import type { DiskDriver } from './virtualDisk.ts';

type Rows = Map<string, Buffer>;

/** Small, so that a pull or an install is interrupted in the middle. */
const PORTION_ROWS = LIMITS.statePortionRows;

/**
 * Databases as LevelDB promises them: a synced batch is there wholly or not at all, whatever interrupts it. Also keeps
 * which of them counts.
 */
export class VirtualState implements Generations {
  readonly #driver: DiskDriver;
  readonly #generations = new Map<number, Rows>();
  #current: number | null = null;
  /** What a crash may or may not do. */
  readonly #pending = new Set<() => void>();

  constructor(driver: DiskDriver) {
    this.#driver = driver;
  }

  /** A state like another, on this disk. */
  copyOf(other: VirtualState): void {
    for (const [generation, rows] of other.#generations) this.#generations.set(generation, new Map(rows));
    this.#current = other.#current;
  }

  generationPath(generation: number): string {
    return String(generation);
  }

  prepare(): Promise<void> {
    return this.#driver.operation(() => undefined);
  }

  current(): Promise<number> {
    return this.#driver.operation(() => {
      if (this.#current === null) throw new HoldfastError('DATA_DIR_INVALID', 'no state');
      return this.#current;
    });
  }

  switchTo(generation: number): Promise<void> {
    return this.#atomically(() => {
      this.#current = generation;
    });
  }

  removeAllBut(generation: number): Promise<void> {
    return this.#driver.operation(() => {
      for (const number of this.#generations.keys()) {
        if (number !== generation) this.#generations.delete(number);
      }
    });
  }

  readonly openDatabase = ({ path, create }: { path: string; create: boolean }): Promise<Database> =>
    this.#driver.operation(() => {
      const generation = Number(path);
      if (create) this.#generations.set(generation, new Map());
      return this.#database(present(this.#generations.get(generation), 'generation of the state'));
    });

  /** As if nothing had ever been written. */
  wipe(): void {
    this.#generations.clear();
    this.#current = null;
  }

  /** The power goes: what was under way is there or not. */
  crash(): void {
    for (const perform of this.#pending) if (this.#driver.chance.happens(0.5)) perform();
    this.#pending.clear();
  }

  #atomically(perform: () => void): Promise<void> {
    this.#pending.add(perform);
    return this.#driver.operation(() => {
      this.#pending.delete(perform);
      perform();
    });
  }

  #database(rows: Rows): Database {
    return {
      batch: () => this.#batch(rows),
      getSync: (key) => rows.get(key.toString('latin1')),
      has: (keys) => Promise.resolve(keys.map((key) => rows.has(key.toString('latin1')))),
      snapshot: () => this.#snapshot(new Map(rows)),
      compact: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
  }

  #batch(rows: Rows): DatabaseBatch {
    const changes: (() => void)[] = [];
    return {
      put: (key, value) => {
        const name = key.toString('latin1');
        changes.push(() => rows.set(name, value));
      },
      del: (key) => {
        const name = key.toString('latin1');
        changes.push(() => rows.delete(name));
      },
      write: () =>
        this.#atomically(() => {
          for (const change of changes) change();
        }),
    };
  }

  #snapshot(rows: Rows): DatabaseSnapshot {
    const operation = this.#driver.operation.bind(this.#driver);
    return {
      async *rows(prefix) {
        const names = [...rows.keys()].filter((name) => name.startsWith(prefix)).toSorted();
        for (let from = 0; from < names.length; from += PORTION_ROWS) {
          const portion = names.slice(from, from + PORTION_ROWS);
          yield await operation(() =>
            portion.map(
              (name): DatabaseRow => ({
                key: Buffer.from(name, 'latin1'),
                envelope: present(rows.get(name), 'row'),
              }),
            ),
          );
        }
      },
      close: () => Promise.resolve(),
    };
  }
}
