import { Level } from 'level';
import { assert } from '../base/assert.ts';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { assertFilesWhole } from './leveldb/wholeFiles.ts';

export interface DatabaseRow {
  readonly key: Buffer;
  readonly envelope: Buffer;
}

/** Writes that become durable together or not at all. */
export interface DatabaseBatch {
  put(key: Buffer, value: Buffer): void;
  del(key: Buffer): void;
  /**
   * One at a time: two that run at once may be applied out of order. Synced, unless `later` says that the next one that is, or
   * `compact`, will do: a power cut before it may take this one back.
   */
  write(when?: 'later'): Promise<void>;
}

/** A frozen view of a database. */
export interface DatabaseSnapshot {
  /** Rows whose key begins with `prefix` (all when it is empty), in key order, in portions; those behind a key, which begins so too, if one is named. */
  rows(prefix: string, behind?: Buffer): AsyncIterable<readonly DatabaseRow[]>;
  close(): Promise<void>;
}

/** What the store asks of LevelDB, so that tests can put a failing disk in its place. Rejects and throws as it does. */
export interface Database {
  batch(): DatabaseBatch;
  getSync(key: Buffer): Buffer | undefined;
  /** Which of the keys are there; looked for beside the event loop. */
  has(keys: readonly Buffer[]): Promise<readonly boolean[]>;
  snapshot(): DatabaseSnapshot;
  /**
   * Afterwards all that was written is synced, and the files hold nothing that was overwritten or deleted before, unless a snapshot is open: of the keys behind
   * the one up to the other, where they are named.
   */
  compact(keys: { readonly behind: Buffer | undefined; readonly end: Buffer | undefined }): Promise<void>;
  close(): Promise<void>;
}

/** Opens the database in a directory. */
export type OpenDatabase = (options: {
  readonly path: string;
  readonly create: boolean;
}) => Promise<Database>;

/** What becomes of a state that is damaged. */
export const REBUILT_HINT = 'Start the node again: it takes a whole state from the leader.';

/** What LevelDB reads ahead for an iterator. */
const READ_AHEAD_BYTES = 1024 * 1024;

/**
 * LevelDB, with nothing that could make up for missing or damaged files: never created but on purpose, never
 * repaired, never opened with a damaged table, never compressed (ciphertext does not shrink).
 * @throws HoldfastError DATA_DIR_INVALID (in use), STATE_CORRUPT (missing or damaged files), DISK_FAILED
 */
export const openLevelDatabase: OpenDatabase = async ({ path, create }) => {
  if (!create) await assertWhole(path);
  const database = new Level<Buffer, Buffer>(path, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    createIfMissing: create,
    errorIfExists: create,
    compression: false,
  });
  try {
    await database.open();
  } catch (cause) {
    await database.close().catch(() => undefined);
    throw openFailure(path, cause);
  }
  return {
    batch: () => levelBatch(database),
    getSync: (key) => database.getSync(key),
    has: (keys) => database.hasMany([...keys]),
    snapshot: () => levelSnapshot(database),
    compact: (keys) => compactLevel(database, keys),
    close: () => database.close(),
  };
};

async function assertWhole(path: string): Promise<void> {
  try {
    await assertFilesWhole(path);
  } catch (cause) {
    if (!(cause instanceof RangeError) && systemErrorCode(cause) !== 'ENOENT') throw diskFailed(cause);
    const what = cause instanceof Error ? cause.message : 'it cannot be read';
    throw new HoldfastError('STATE_CORRUPT', `the state in ${path} is damaged: ${what}`, {
      cause,
      hint: REBUILT_HINT,
    });
  }
}

/** No key of a row begins with the lowest byte or the highest. */
async function compactLevel(
  database: Level<Buffer, Buffer>,
  { behind = Buffer.alloc(1), end = Buffer.alloc(1, 0xff) }: Parameters<Database['compact']>[0],
): Promise<void> {
  assert('compactRange' in database, 'LevelDB compacts on demand');
  const { compactRange } = database as unknown as {
    compactRange: (this: object, start: Buffer, end: Buffer) => Promise<void>;
  };
  await compactRange.call(database, behind, end);
}

function levelBatch(database: Level<Buffer, Buffer>): DatabaseBatch {
  const batch = database.batch();
  return {
    put: (key, value) => void batch.put(key, value),
    del: (key) => void batch.del(key),
    write: (when) => batch.write({ sync: when !== 'later' }),
  };
}

function levelSnapshot(database: Level<Buffer, Buffer>): DatabaseSnapshot {
  const snapshot = database.snapshot();
  return {
    async *rows(prefix, behind) {
      const start = Buffer.from(prefix, 'latin1');
      // LevelDB heeds only one of two lower bounds.
      const from = behind === undefined ? { gte: start } : { gt: behind };
      const to = prefix === '' ? {} : { lt: after(prefix) };
      const options = { ...from, ...to, snapshot, fillCache: false, highWaterMarkBytes: READ_AHEAD_BYTES };
      const iterator = database.iterator(options);
      try {
        for (;;) {
          const portion = await iterator.nextv(LIMITS.statePortionRows);
          if (portion.length === 0) return;
          yield portion.map(([key, envelope]) => ({ key, envelope }));
        }
      } finally {
        await iterator.close();
      }
    },
    close: () => snapshot.close(),
  };
}

function after(prefix: string): Buffer {
  const end = Buffer.from(prefix, 'latin1');
  end[end.length - 1] = (end[end.length - 1] ?? 0) + 1;
  return end;
}

/** The innermost code of LevelDB's error. */
function levelCode(thrown: unknown): string {
  if (!(thrown instanceof Error)) return '';
  const inner = levelCode(thrown.cause);
  if (inner !== '') return inner;
  return 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
}

function openFailure(path: string, cause: unknown): HoldfastError {
  const code = levelCode(cause);
  if (code === 'LEVEL_LOCKED') {
    return new HoldfastError('DATA_DIR_INVALID', `another process uses the state in ${path}`, {
      hint: 'stop that process, or name another directory',
      cause,
    });
  }
  if (code === 'LEVEL_IO_ERROR' && !namesMissingFile(cause)) return diskFailed(cause);
  return new HoldfastError('STATE_CORRUPT', `the state in ${path} does not open (${code})`, {
    cause,
    hint: REBUILT_HINT,
  });
}

/** LevelDB 1.20 has no code of its own for a file that it should find and does not. */
function namesMissingFile(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  return thrown.message.includes('No such file or directory') || namesMissingFile(thrown.cause);
}

/** What LevelDB threw as a DISK_FAILED or STATE_CORRUPT; anything else as it is. */
export function databaseFailure(thrown: unknown): unknown {
  return levelCode(thrown).startsWith('LEVEL_') ? runningFailure(thrown) : thrown;
}

/** Any error of a running database: the node must stop. Files that are damaged are another matter than a disk that fails. */
export function runningFailure(cause: unknown): HoldfastError {
  if (cause instanceof HoldfastError) return cause;
  if (levelCode(cause) !== 'LEVEL_CORRUPTION') return diskFailed(cause);
  return new HoldfastError('STATE_CORRUPT', 'the files of the state are damaged (LEVEL_CORRUPTION)', {
    cause,
    hint: REBUILT_HINT,
  });
}

/** The disk refused something: the node must stop, since LevelDB may lose writes after it. */
export function diskFailed(cause: unknown): HoldfastError {
  const code = levelCode(cause);
  const what = code === '' ? 'the disk of the state failed' : `the disk of the state failed (${code})`;
  return new HoldfastError('DISK_FAILED', what, {
    cause,
    hint: 'Check the disk and its free space before the node is started again.',
  });
}
