import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileDurably } from '../base/durableFile.ts';
import { HoldfastError } from '../base/errors.ts';
import { type DirectoryLock, lockDataDirectory } from '../replication/wal/directoryLock.ts';
import { type DataDirectory, hasIdentity } from './dataDirectory.ts';

/** Stands in a directory from the first file of a new node until its last: what lies beside it is unfinished. */
const UNFINISHED = 'unfinished';
/** A file that only has the name must not cost what lies beside it. */
const MARK = 'holdfast: a node is being made in this directory; until then nothing in it counts\n';
const NOT_OURS_TO_JUDGE = new Set(['lock', 'lost+found', `${UNFINISHED}.new`]);

/**
 * Makes a node in an empty data directory by `make`, which writes everything but the identity; `finish` then writes
 * that. An attempt that was cut off leaves a mark, and the next one begins by clearing it away.
 * @throws HoldfastError DATA_DIR_INVALID when a node or something else is there, or another process works on it
 */
export async function makeNode<T>(
  directory: DataDirectory,
  make: () => Promise<T>,
  finish: (made: T) => Promise<void>,
): Promise<T> {
  const lock = await lockNewDirectory(directory);
  try {
    await clearUnfinished(directory);
    refuseOccupied(directory);
    await writeFileDurably({ path: join(directory.root, UNFINISHED), bytes: Buffer.from(MARK), mode: 0o600 });
    const made = await make();
    await finish(made);
    await rm(join(directory.root, UNFINISHED));
    return made;
  } catch (thrown) {
    await clearUnfinished(directory);
    throw thrown;
  } finally {
    await lock.release();
  }
}

async function lockNewDirectory(directory: DataDirectory): Promise<DirectoryLock> {
  try {
    mkdirSync(directory.root, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new HoldfastError('DATA_DIR_INVALID', `the data directory ${directory.root} cannot be made`, {
      field: 'data-dir',
      hint: 'check its path and who may write there',
      cause,
    });
  }
  refuseOccupied(directory);
  return lockDataDirectory(directory.root);
}

function refuseOccupied(directory: DataDirectory): void {
  if (isMarked(directory) && !hasIdentity(directory)) return;
  const found = readdirSync(directory.root).filter((name) => !NOT_OURS_TO_JUDGE.has(name));
  if (found.length === 0) return;
  throw new HoldfastError('DATA_DIR_INVALID', `the data directory ${directory.root} is not empty`, {
    field: 'data-dir',
    hint: hasIdentity(directory)
      ? 'a node was made here before: start it with holdfast server'
      : 'name an empty directory',
  });
}

async function clearUnfinished(directory: DataDirectory): Promise<void> {
  if (!isMarked(directory)) return;
  if (!hasIdentity(directory)) {
    const ours = (name: string): boolean => !NOT_OURS_TO_JUDGE.has(name) && name !== UNFINISHED;
    const remains = readdirSync(directory.root).filter(ours);
    for (const name of remains) await rm(join(directory.root, name), { recursive: true, force: true });
  }
  await rm(join(directory.root, UNFINISHED), { force: true });
}

function isMarked(directory: DataDirectory): boolean {
  const path = join(directory.root, UNFINISHED);
  return existsSync(path) && readFileSync(path, 'utf8') === MARK;
}
