import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { HoldfastError, systemErrorCode } from '../../base/errors.ts';

export interface Bound {
  readonly bytesMax: number;
  /** What the bytes are, for the message: `the value`. */
  readonly what: string;
}

/** What is wrong with a file, in words, by system error. */
const REASONS = new Map<string | undefined, string>([
  ['ENOENT', 'it does not exist'],
  ['EACCES', 'this user may not read it'],
  ['EPERM', 'this user may not read it'],
  ['EISDIR', 'it is a directory'],
  ['ELOOP', 'it is a symbolic link'],
  ['ENXIO', 'it is not a regular file'],
]);

/**
 * The whole of a regular file. `followLinks` false refuses a symbolic link in the last place.
 * @throws HoldfastError FILE_UNREADABLE, TOO_LARGE naming the limit
 */
export async function readFileBounded(
  path: string | Buffer,
  bound: Bound & { readonly followLinks: boolean },
): Promise<Buffer> {
  return withFile(path, bound, async (handle, size) => {
    const bytes = Buffer.alloc(size);
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await handle.read(bytes, filled, size - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  });
}

/** The size of a file that readFileBounded would read; the same errors. */
export function sizeOfReadable(
  path: string | Buffer,
  bound: Bound & { readonly followLinks: boolean },
): Promise<number> {
  return withFile(path, bound, (_handle, size) => Promise.resolve(size));
}

async function withFile<T>(
  path: string | Buffer,
  bound: Bound & { readonly followLinks: boolean },
  use: (handle: FileHandle, size: number) => Promise<T>,
): Promise<T> {
  // NONBLOCK: opening a pipe must not wait for a writer.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | (bound.followLinks ? 0 : constants.O_NOFOLLOW);
  try {
    const handle = await open(path, flags);
    try {
      const stats = await handle.stat();
      if (stats.isDirectory()) throw unreadable(path, 'it is a directory');
      if (!stats.isFile()) throw unreadable(path, 'it is not a regular file');
      if (stats.size > bound.bytesMax) throw tooLarge(bound, `${path.toString()} has ${stats.size} bytes`);
      return await use(handle, stats.size);
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    if (thrown instanceof HoldfastError) throw thrown;
    const code = systemErrorCode(thrown);
    throw unreadable(path, REASONS.get(code) ?? `the system says ${code ?? String(thrown)}`, thrown);
  }
}

/** All of a stream. @throws HoldfastError TOO_LARGE as soon as it is over the limit, CANCELLED when interrupted */
export async function readStreamBounded(
  stream: Readable,
  bound: Bound,
  interrupted: AbortSignal,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  const stop = (): void => void stream.destroy(new HoldfastError('CANCELLED', 'interrupted'));
  interrupted.addEventListener('abort', stop);
  try {
    for await (const chunk of stream) {
      const bytes = Buffer.from(chunk as Uint8Array | string);
      length += bytes.length;
      if (length > bound.bytesMax) throw tooLarge(bound, `${bound.what} on standard input is longer`);
      chunks.push(bytes);
    }
  } finally {
    interrupted.removeEventListener('abort', stop);
  }
  return Buffer.concat(chunks);
}

function tooLarge({ what, bytesMax }: Bound, problem: string): HoldfastError {
  return new HoldfastError('TOO_LARGE', `${problem}; the limit for ${what} is ${bytesMax} bytes`, {
    field: 'value',
    hint: 'split it over several keys',
  });
}

function unreadable(path: string | Buffer, reason: string, cause?: unknown): HoldfastError {
  return new HoldfastError('FILE_UNREADABLE', `${path.toString()} cannot be read: ${reason}`, {
    field: 'file',
    hint: 'name a regular file that this user can read',
    cause,
  });
}
