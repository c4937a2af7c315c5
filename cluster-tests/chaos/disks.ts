import { readdirSync, rmSync, statfsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '../until.ts';
import type { Cleanup } from './cleanup.ts';
import { command, succeeds } from './command.ts';

const IMAGE_BYTES = '3G';
const FREE_WITHIN_MS = 20_000;

/** A file system of its own for each node, in an image file: its power can be cut, and it can be full. */
export class Disks {
  readonly #dir: string;
  readonly #generations = new Map<number, number>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  mountPoint(slot: number): string {
    return join(this.#dir, `slot${slot}`);
  }

  async create(slots: number, cleanup: Cleanup): Promise<void> {
    for (let slot = 1; slot <= slots; slot += 1) {
      await mkdir(this.mountPoint(slot), { recursive: true });
      const image = this.#image(slot);
      command('truncate', ['-s', IMAGE_BYTES, image]);
      command('mkfs.ext4', ['-q', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image]);
      cleanup.add(`mount of slot ${slot}`, () => {
        for (let i = 0; i < 20 && !succeeds('umount', [this.mountPoint(slot)]); i += 1) {
          if (!succeeds('mountpoint', ['-q', this.mountPoint(slot)])) return;
        }
      });
      command('mount', ['-o', 'loop', image, this.mountPoint(slot)]);
    }
  }

  /**
   * As if the power went now: what was not synced is gone. First `cut` while nothing can write (the process is stopped),
   * then kill it, then `boot`.
   */
  cut(slot: number): void {
    command('cp', ['--sparse=always', this.#image(slot), this.#image(slot, 1)]);
  }

  async boot(slot: number): Promise<void> {
    const old = this.#image(slot);
    // Whoever looks for old keys on this disk has a file open for a moment.
    await until(FREE_WITHIN_MS, 'a disk that nobody uses', () => {
      command('umount', [this.mountPoint(slot)]);
      return true;
    });
    this.#generations.set(slot, this.#generation(slot) + 1);
    command('mount', ['-o', 'loop', this.#image(slot), this.mountPoint(slot)]);
    rmSync(old);
  }

  /** Leaves no room. */
  fill(slot: number): void {
    const { bavail, bsize } = statfsSync(this.mountPoint(slot));
    // The last blocks go one by one: fallocate needs a few more than it is asked for.
    succeeds('fallocate', ['-l', String(Math.max(1, (bavail - 512) * bsize)), this.#ballast(slot)]);
    succeeds('dd', ['if=/dev/zero', `of=${this.#ballast(slot)}.rest`, 'bs=4k', 'conv=fsync']);
  }

  free(slot: number): void {
    rmSync(this.#ballast(slot), { force: true });
    rmSync(`${this.#ballast(slot)}.rest`, { force: true });
  }

  /** What lies beside the file system's own folder. */
  folders(slot: number): readonly string[] {
    return readdirSync(this.mountPoint(slot)).filter((name) => name !== 'lost+found');
  }

  #ballast(slot: number): string {
    return join(this.mountPoint(slot), 'ballast');
  }

  #generation(slot: number): number {
    return this.#generations.get(slot) ?? 0;
  }

  #image(slot: number, later = 0): string {
    return join(this.#dir, `slot${slot}.${this.#generation(slot) + later}.img`);
  }
}
