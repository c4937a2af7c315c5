import { lstat, mkdir, open, readdir, rename, rmdir, unlink } from 'node:fs/promises';
import { HoldfastError, systemErrorCode } from '../../base/errors.ts';
import { printable } from '../../base/printable.ts';
import type { RandomSource } from '../../base/random.ts';

/**
 * An empty directory to export into, made when it does not exist.
 * @throws HoldfastError INVALID_ARGUMENT when it is not empty, FILE_UNREADABLE when it cannot be used
 */
export async function openExportDirectory(path: string, random: RandomSource): Promise<ExportDirectory> {
  const made = await attempt(path, () => mkdir(path, { recursive: true, mode: 0o700 }));
  const entries = await attempt(path, () => readdir(path));
  if (entries.length > 0) {
    throw new HoldfastError('INVALID_ARGUMENT', `${path} is not empty`, {
      field: 'dir',
      hint: 'name an empty directory, or one that does not exist; nothing has been written',
    });
  }
  const temporary = `.holdfast-export-${random.bytes(8).toString('hex')}`;
  const directory = new ExportDirectory({ root: path, temporary, madeByUs: made !== undefined });
  await directory.makeFolders([temporary]);
  return directory;
}

/** Remembers what it has made, so that all of it can be taken away again and nothing else. */
export class ExportDirectory {
  readonly #root: Buffer;
  readonly #temporary: string;
  readonly #madeByUs: boolean;
  readonly #folders: string[] = [];
  readonly #files: Buffer[] = [];
  #written = 0;

  constructor(options: { readonly root: string; readonly temporary: string; readonly madeByUs: boolean }) {
    this.#root = Buffer.from(options.root);
    this.#temporary = options.temporary;
    this.#madeByUs = options.madeByUs;
  }

  /** Latin-1 paths, parents before children. */
  async makeFolders(folders: readonly string[]): Promise<void> {
    for (const folder of folders) {
      await attempt(folder, () => mkdir(this.#path(folder), { mode: 0o700 }));
      this.#folders.push(folder);
    }
  }

  /** A file of mode 0600, whole or not there: temporary file, fsync, rename. */
  async write(name: Uint8Array, content: Uint8Array): Promise<void> {
    const target = this.#path(Buffer.from(name).toString('latin1'));
    this.#written += 1;
    const temporary = this.#path(`${this.#temporary}/${this.#written}`);
    this.#files.push(temporary);
    await attempt(target, async () => {
      const handle = await open(temporary, 'wx', 0o600);
      try {
        await handle.writeFile(content);
        await handle.chmod(0o600);
        await handle.sync();
      } finally {
        await handle.close();
      }
      if (await exists(target)) throw takenName(target);
      await rename(temporary, target);
    });
    this.#files.push(target);
  }

  /** Makes all names durable and takes the folder of temporary files away. */
  async finish(): Promise<void> {
    await attempt(this.#root, async () => {
      await rmdir(this.#path(this.#temporary));
      for (const folder of this.#folders) {
        if (folder !== this.#temporary) await syncFolder(this.#path(folder));
      }
      await syncFolder(this.#root);
    });
  }

  /** Takes away what was made, as far as the disk lets it. */
  async undo(): Promise<void> {
    for (const file of this.#files) await unlink(file).catch(() => undefined);
    for (const folder of this.#folders.toReversed()) await rmdir(this.#path(folder)).catch(() => undefined);
    if (this.#madeByUs) await rmdir(this.#root).catch(() => undefined);
  }

  #path(latin1: string): Buffer {
    return Buffer.concat([this.#root, Buffer.from(`/${latin1}`, 'latin1')]);
  }
}

async function exists(path: Buffer): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return false;
    throw thrown;
  }
}

/** Only a file system that takes two names for one comes here: the directory was empty. */
function takenName(path: Buffer): HoldfastError {
  const name = printable(path.toString());
  return new HoldfastError('INVALID_ARGUMENT', `two keys have the same name on this file system: ${name}`, {
    field: 'key',
    hint: 'export to a file system that tells capital and small letters apart',
  });
}

async function attempt<T>(path: string | Buffer, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (thrown) {
    if (thrown instanceof HoldfastError) throw thrown;
    const code = systemErrorCode(thrown) ?? String(thrown);
    const name = printable(path.toString());
    throw new HoldfastError('FILE_UNREADABLE', `${name} cannot be written: the system says ${code}`, {
      field: 'dir',
      hint: 'check its owner, its mode and the free space of its disk',
      cause: thrown,
    });
  }
}

/** As base/durableFile does, for a path that need not be UTF-8. */
async function syncFolder(path: Buffer): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
