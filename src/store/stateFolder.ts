import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeFileDurably } from '../base/durableFile.ts';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';

const POINTER_PATTERN = /^([1-9][0-9]{0,14})\n$/;
const GENERATION_PATTERN = /^[1-9][0-9]{0,14}$/;

/** The generations of a state, of which one counts. */
export interface Generations {
  /** Where the database of a generation lies. */
  generationPath(generation: number): string;
  /** Makes room for a first state. @throws HoldfastError DATA_DIR_INVALID when there is one already */
  prepare(): Promise<void>;
  /** @throws HoldfastError DATA_DIR_INVALID when there is no state, STATE_CORRUPT when the pointer is damaged */
  current(): Promise<number>;
  /** From when this resolves the generation is in force, after a crash too. */
  switchTo(generation: number): Promise<void>;
  /** Deletes what replaced or unfinished generations have left. */
  removeAllBut(generation: number): Promise<void>;
}

/**
 * Where a node's state lies:
 *
 *   <directory>/state/<generation>/   LevelDB
 *   <directory>/state/current         the generation in force, decimal and a line feed
 *
 * A state that is replaced as a whole is written to the next generation; replacing the file `current` is the
 * moment at which it counts.
 */
export class StateFolder implements Generations {
  readonly #path: string;
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.#path = join(directory, 'state');
  }

  generationPath(generation: number): string {
    return join(this.#path, String(generation));
  }

  async prepare(): Promise<void> {
    await mkdir(this.#path, { recursive: true, mode: 0o700 });
    await syncDirectory(this.#directory);
    if ((await this.#readPointer()) !== null) {
      throw new HoldfastError('DATA_DIR_INVALID', `${this.#path} holds a state already`);
    }
    await this.removeAllBut(0);
  }

  async current(): Promise<number> {
    const text = await this.#readPointer();
    if (text === null) {
      throw new HoldfastError('DATA_DIR_INVALID', `${this.#path} holds no state`, {
        field: 'data-dir',
        hint: 'Check the path; if its files are gone, remove the node and let it join again.',
      });
    }
    const generation = Number(POINTER_PATTERN.exec(text)?.[1] ?? 0);
    if (generation > 0) return generation;
    throw new HoldfastError('STATE_CORRUPT', `${join(this.#path, 'current')} does not name a generation`, {
      hint: 'Remove the node and let it join again.',
    });
  }

  async switchTo(generation: number): Promise<void> {
    await syncDirectory(this.#path);
    await writeFileDurably({
      path: join(this.#path, 'current'),
      bytes: Buffer.from(`${generation}\n`),
      mode: 0o600,
    });
  }

  async removeAllBut(generation: number): Promise<void> {
    for (const name of await readdir(this.#path)) {
      if (GENERATION_PATTERN.test(name) && Number(name) !== generation) {
        await rm(join(this.#path, name), { recursive: true, force: true });
      }
    }
  }

  async #readPointer(): Promise<string | null> {
    try {
      return await readFile(join(this.#path, 'current'), 'latin1');
    } catch (thrown) {
      if (systemErrorCode(thrown) === 'ENOENT') return null;
      throw thrown;
    }
  }
}
