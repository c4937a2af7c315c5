import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeFileDurably } from '../base/durableFile.ts';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { REBUILT_HINT } from './database.ts';
import { type Damage, damageText, parseDamage } from './stateMark.ts';

const POINTER_PATTERN = /^([1-9][0-9]{0,14})\n$/;
const GENERATION_PATTERN = /^[1-9][0-9]{0,14}$/;
const SET_ASIDE_PATTERN = /^(?:damaged|diverged)-([1-9][0-9]{0,14})$/;
const DAMAGED_PATTERN = /^damaged-/;
const DIVERGED_PATTERN = /^diverged-/;

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
 *
 * A state that must not be used any more is marked in `current` (stateMark.ts) and set aside. `damaged-<generation>`, one
 * at most, goes when another one is in force. `diverged-<generation>` is whole, and may be the right one when a majority
 * was wrong: it stays until an operator takes it away, or LIMITS.divergedStatesKept newer ones have come.
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
        hint: REBUILT_HINT,
      });
    }
    const generation = Number(POINTER_PATTERN.exec(text)?.[1] ?? 0);
    if (generation > 0) return generation;
    const damage = parseDamage(text);
    const what =
      damage === null
        ? `${join(this.#path, 'current')} does not name a generation`
        : `the state in ${this.generationPath(damage.generation)} must not be used: ${damage.reason}`;
    throw new HoldfastError('STATE_CORRUPT', what, { hint: REBUILT_HINT });
  }

  /** Whether anything says which state is in force. */
  async hasState(): Promise<boolean> {
    return (await this.#readPointer()) !== null;
  }

  /** Why the state that was in force last must not be used; null: nothing says so. */
  async damage(): Promise<Damage | null> {
    return parseDamage((await this.#readPointer()) ?? '');
  }

  /**
   * Marks the state as not to be used, and moves its files out of the way, whatever is left of them.
   * @returns a generation number that no files have had
   */
  async setAside({ kind, reason }: Pick<Damage, 'kind' | 'reason'>): Promise<number> {
    await mkdir(this.#path, { recursive: true, mode: 0o700 });
    await syncDirectory(this.#directory);
    const pointer = await this.#readPointer();
    const generations = await this.#generations();
    const inForce = Number(POINTER_PATTERN.exec(pointer ?? '')?.[1] ?? generations.at(-1) ?? 0);
    const damage = parseDamage(pointer ?? '') ?? { kind, generation: inForce, reason };
    await this.#point(damageText(damage));
    if (generations.includes(damage.generation)) await this.#moveAside(damage);
    const aside = (await this.#setAside()).map(generationOf);
    return Math.max(...generations, damage.generation, ...aside) + 1;
  }

  /** The folders of whole states that differed from what a majority held, the oldest first. */
  async divergedStates(): Promise<readonly string[]> {
    const diverged = (await this.#setAside()).filter((name) => DIVERGED_PATTERN.test(name));
    return diverged.map((name) => join(this.#path, name));
  }

  async switchTo(generation: number): Promise<void> {
    await this.#point(`${generation}\n`);
  }

  /** What was set aside as damaged goes too, as soon as a generation is in force again. */
  async removeAllBut(generation: number): Promise<void> {
    const rebuilt = (await this.damage()) === null;
    for (const name of await readdir(this.#path)) {
      const old = GENERATION_PATTERN.test(name) && Number(name) !== generation;
      if (old || (rebuilt && DAMAGED_PATTERN.test(name))) await this.#remove(name);
    }
  }

  async #point(text: string): Promise<void> {
    await syncDirectory(this.#path);
    await writeFileDurably({ path: join(this.#path, 'current'), bytes: Buffer.from(text), mode: 0o600 });
  }

  async #moveAside({ kind, generation }: Damage): Promise<void> {
    const aside = await this.#setAside();
    const damaged = aside.filter((name) => DAMAGED_PATTERN.test(name));
    const diverged = aside.filter((name) => DIVERGED_PATTERN.test(name));
    const kept = LIMITS.divergedStatesKept - (kind === 'diverged' ? 1 : 0);
    for (const name of [...damaged, ...diverged.slice(0, Math.max(0, diverged.length - kept))])
      await this.#remove(name);
    await rename(this.generationPath(generation), join(this.#path, `${kind}-${generation}`));
    await syncDirectory(this.#path);
  }

  /** In rising order. */
  async #generations(): Promise<number[]> {
    const names = await readdir(this.#path);
    return names
      .filter((name) => GENERATION_PATTERN.test(name))
      .map(Number)
      .sort((a, b) => a - b);
  }

  /** In rising order of generations. */
  async #setAside(): Promise<string[]> {
    const names = await readdir(this.#path);
    return names
      .filter((name) => SET_ASIDE_PATTERN.test(name))
      .sort((a, b) => generationOf(a) - generationOf(b));
  }

  async #remove(name: string): Promise<void> {
    await rm(join(this.#path, name), { recursive: true, force: true });
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

function generationOf(setAside: string): number {
  return Number(SET_ASIDE_PATTERN.exec(setAside)?.[1] ?? 0);
}
