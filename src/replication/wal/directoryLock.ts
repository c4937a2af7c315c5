import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import { HoldfastError } from '../../base/errors.ts';

/** Held as long as the process lives; the kernel lets go of it when the process dies, however it dies. */
export interface DirectoryLock {
  release(): Promise<void>;
}

/**
 * Takes `directory` for this process alone. Node has no fcntl locks; the tiny LevelDB under `directory`/lock is there
 * only for the one that its LOCK file carries.
 * @throws HoldfastError DATA_DIR_INVALID when another process (or this one) has it, or it cannot be locked at all
 */
export async function lockDataDirectory(directory: string): Promise<DirectoryLock> {
  const path = join(directory, 'lock');
  await refuseAsRoot(directory, path);
  const level = new Level(path);
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await level.open();
  } catch (thrown) {
    throw lockRefused(directory, thrown);
  }
  return { release: () => level.close() };
}

/**
 * What root writes into the directory of another user, the node of that user cannot open any more.
 * @throws HoldfastError DATA_DIR_INVALID
 */
async function refuseAsRoot(directory: string, path: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const owner = await stat(path).then(
    ({ uid }) => uid,
    () => 0,
  );
  if (owner === 0) return;
  throw new HoldfastError(
    'DATA_DIR_INVALID',
    `${directory} is of a node of user ${owner}, and this runs as root`,
    {
      hint: `run it as that user: sudo -u '#${owner}' holdfast …`,
    },
  );
}

function lockRefused(directory: string, thrown: unknown): HoldfastError {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
  if (cause instanceof Error && 'code' in cause && cause.code === 'LEVEL_LOCKED') {
    return new HoldfastError('DATA_DIR_INVALID', `${directory} is in use by another process`, {
      hint: 'stop the node that runs on this data directory, or choose another directory',
      cause: thrown,
    });
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new HoldfastError('DATA_DIR_INVALID', `${directory} cannot be locked: ${reason}`, {
    hint: 'the data directory must be on a local disk and belong to the user that runs the node',
    cause: thrown,
  });
}
