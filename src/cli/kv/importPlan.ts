import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { HoldfastError, systemErrorCode } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { printable } from '../../base/printable.ts';
import { interruption } from '../invocation.ts';
import { sizeOfReadable } from './boundedFile.ts';
import { inFlight } from './inFlight.ts';

/** One file and the key it becomes. Paths are bytes: a name need not be UTF-8. */
export interface ImportFile {
  readonly path: Buffer;
  readonly key: Buffer;
}

export interface ImportPlan {
  readonly files: readonly ImportFile[];
  /** Links, pipes, sockets and devices, as text. */
  readonly leftOut: readonly string[];
}

const SEPARATOR = Buffer.from('/');

/**
 * What an import will write, in the order of the keys, every file found to be readable and within the limits.
 * @throws HoldfastError FILE_UNREADABLE or TOO_LARGE naming the file; nothing has been written then
 */
export async function planImport(options: {
  readonly directory: string;
  readonly prefix: Buffer;
  readonly interrupted: AbortSignal;
}): Promise<ImportPlan> {
  const { directory, prefix, interrupted } = options;
  const files: ImportFile[] = [];
  const leftOut: string[] = [];
  const folders = [{ path: Buffer.from(directory), key: prefix }];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    if (interrupted.aborted) throw interruption();
    for (const entry of await entriesOf(folder.path)) {
      const path = Buffer.concat([folder.path, SEPARATOR, entry.name]);
      const key = Buffer.concat([folder.key, entry.name]);
      if (entry.isDirectory()) folders.push({ path, key: Buffer.concat([key, SEPARATOR]) });
      else if (entry.isFile()) files.push({ path, key: checkedKey(key, path) });
      else leftOut.push(path.toString());
    }
  }
  files.sort((a, b) => Buffer.compare(a.key, b.key));
  await inFlight(files, interrupted, async ({ path }) => {
    await sizeOfReadable(path, { bytesMax: LIMITS.valueBytesMax, what: 'a value', followLinks: false });
  });
  if (interrupted.aborted) throw interruption();
  return { files, leftOut: leftOut.sort() };
}

function checkedKey(key: Buffer, path: Buffer): Buffer {
  if (key.length <= LIMITS.keyBytesMax) return key;
  const problem = `its key would have ${key.length} bytes; the limit is ${LIMITS.keyBytesMax}`;
  throw new HoldfastError('TOO_LARGE', `${printable(path.toString())} cannot be a key: ${problem}`, {
    field: 'key',
    hint: 'shorten its path or --prefix; nothing has been written',
  });
}

async function entriesOf(path: Buffer): Promise<readonly Dirent<Buffer>[]> {
  try {
    return await readdir(path, { withFileTypes: true, encoding: 'buffer' });
  } catch (cause) {
    const code = systemErrorCode(cause) ?? 'unknown';
    const reasons: Readonly<Record<string, string>> = {
      ENOENT: 'it does not exist',
      ENOTDIR: 'it is no directory',
      EACCES: 'this user may not read it',
    };
    const reason = reasons[code] ?? `the system says ${code}`;
    throw new HoldfastError('FILE_UNREADABLE', `${printable(path.toString())} cannot be read: ${reason}`, {
      field: 'dir',
      hint: 'name a directory that this user can read; nothing has been written',
      cause,
    });
  }
}
