import { open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemErrorCode } from './errors.ts';

/** Makes the names in a directory durable. Needed after a file in it was created, renamed or removed. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Replaces the file at `path` by `bytes`, so that after a crash at any instant the old file or the new one is
 * there, whole: temporary file, fsync, rename, fsync of the directory. The temporary file is `path` + `.new`;
 * one writer at a time for each path. `mode` is set whatever the umask is.
 * @throws the system error (ENOENT, ENOSPC, EIO, …); the old file is then still in place, unless only the last
 *   step failed: then either may be
 */
export async function writeFileDurably(options: {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly mode: number;
}): Promise<void> {
  const { path, bytes, mode } = options;
  const temporary = `${path}.new`;
  await removeIfPresent(temporary);
  const handle = await open(temporary, 'wx', 0o600);
  try {
    try {
      await handle.writeFile(bytes);
      await handle.chmod(mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    await removeIfPresent(temporary).catch(() => undefined);
    throw thrown;
  }
  await syncDirectory(dirname(path));
}

async function removeIfPresent(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (thrown) {
    if (systemErrorCode(thrown) !== 'ENOENT') throw thrown;
  }
}
