import type { Dirent } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, systemErrorCode } from '../../base/errors.ts';
import { HEADER_START_BYTES, headersIn, type KeyId } from '../../envelope/format.ts';

/** What is looked for: envelopes that name one of these keys, or this suite. */
export interface Wanted {
  readonly keyIds: ReadonlySet<KeyId>;
  /** Null: whatever the suite. */
  readonly suite: number | null;
}

export interface Found {
  readonly count: number;
  /** Where the first ones were, a few. */
  readonly paths: readonly string[];
}

const CHUNK_BYTES = 1024 * 1024;
const PATHS_MAX = 5;

/** What a file system keeps for itself where a data directory is mounted, and shows to nobody. */
const NOT_OURS: ReadonlySet<string> = new Set(['lost+found']);
/**
 * LevelDB's, always empty. The lock of a process on its data directory ends as soon as that process closes such a file,
 * however it came to open it (fcntl(2), POSIX record locks).
 */
const LOCK_FILE = 'LOCK';
/** LevelDB makes files while this reads; each round takes in the new ones. */
const ROUNDS_MAX = 100;

/**
 * Counts envelopes in all files under a folder, byte by byte: what is nobody's any more counts too. Files that go while
 * this reads hold nothing any more; what they held may be in others, which are read as well.
 * @throws the system error when a file or folder cannot be read; HoldfastError OVERLOADED when files change too fast
 */
export async function scanForEnvelopes(folder: string, wanted: Wanted): Promise<Found> {
  const counts = new Map<string, number>();
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const unread = (await filesUnder(folder)).filter((path) => !counts.has(path));
    if (unread.length === 0) return found(counts);
    for (const path of unread) counts.set(path, await countIn(path, wanted));
  }
  throw new HoldfastError('OVERLOADED', 'files come and go faster than they are read', {
    hint: 'it is tried again; lower the load if that does not help',
  });
}

function found(counts: ReadonlyMap<string, number>): Found {
  const withSome = [...counts].filter(([, count]) => count > 0);
  const count = withSome.reduce((sum, [, inFile]) => sum + inFile, 0);
  return { count, paths: withSome.slice(0, PATHS_MAX).map(([path]) => path) };
}

async function filesUnder(root: string): Promise<readonly string[]> {
  const files: string[] = [];
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await entriesOf(folder, { mustBe: folder === root })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && !(folder === root && NOT_OURS.has(entry.name))) folders.push(path);
      else if (entry.isFile() && entry.name !== LOCK_FILE) files.push(path);
    }
  }
  return files;
}

/** None of one that has gone meanwhile. */
async function entriesOf(
  folder: string,
  { mustBe }: { readonly mustBe: boolean },
): Promise<readonly Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (thrown) {
    if (!mustBe && systemErrorCode(thrown) === 'ENOENT') return [];
    throw thrown;
  }
}

async function countIn(path: string, wanted: Wanted): Promise<number> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return 0;
    throw thrown;
  }
  try {
    // What begins at the end of one chunk is found at the beginning of the next.
    const overlap = HEADER_START_BYTES - 1;
    const chunk = Buffer.alloc(overlap + CHUNK_BYTES);
    let kept = 0;
    let count = 0;
    for (;;) {
      const { bytesRead } = await file.read(chunk, kept, CHUNK_BYTES);
      if (bytesRead === 0) return count;
      const filled = kept + bytesRead;
      count += countInChunk(chunk.subarray(0, filled), wanted);
      kept = Math.min(overlap, filled);
      chunk.copyWithin(0, filled - kept, filled);
    }
  } finally {
    await file.close();
  }
}

function countInChunk(chunk: Buffer, { keyIds, suite }: Wanted): number {
  let count = 0;
  for (const header of headersIn(chunk))
    if (keyIds.has(header.keyId) && (suite === null || header.suite === suite)) count += 1;
  return count;
}
