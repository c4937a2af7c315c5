import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  type Stats,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import { isWithin } from '../base/realPath.ts';
import { keyFileInvalid } from './keyFile.ts';

export interface KeyFilePlace {
  readonly path: string;
  /** The node's data directory, which may not exist yet: no key lies in what is copied, backed up or wiped whole. */
  readonly dataDir: string;
}

const TAKEN: Refusal = [
  'it exists already',
  'Use the keys in it, or name another path; a key file is never overwritten.',
];

/**
 * Reads a file that holds keys, if it lies in a safe place with a safe mode. The caller wipes the bytes.
 * @throws HoldfastError KEY_FILE_INVALID with a hint that says what to do, FILE_UNREADABLE when the disk refuses
 */
export function readSecretFile({ path, dataDir }: KeyFilePlace): Buffer {
  const real = attempt(path, () => realpathSync(path));
  refuseUnderDataDir({ path, dataDir }, real);
  // NONBLOCK: opening a pipe must not wait for a writer. NOFOLLOW: `real` was resolved, it may not move since.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const descriptor = attempt(path, () => openSync(real, flags));
  try {
    const stats = fstatSync(descriptor);
    refuseUnsafe(path, stats);
    return attempt(path, () => readWhole(descriptor, stats.size));
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Makes a file that only we can read, durable when this returns: temporary file, fsync, then the name at once
 * with its content, fsync of the directory. Never overwrites: a hard link, unlike a rename, fails on a taken name.
 * @throws HoldfastError KEY_FILE_INVALID when the name is taken or lies under the data directory
 */
export function createSecretFile(place: KeyFilePlace, content: Buffer, random: RandomSource): void {
  const { path } = place;
  const directory = attempt(path, () => realpathSync(dirname(resolve(path))));
  const target = join(directory, basename(path));
  refuseUnderDataDir(place, target);
  const temporary = `${target}.${random.bytes(8).toString('hex')}.tmp`;
  attempt(path, () => writeDurably(temporary, content));
  try {
    attempt(path, () => linkSync(temporary, target));
  } finally {
    unlinkSync(temporary);
  }
  attempt(path, () => syncDirectory(directory));
}

/**
 * Puts another content in the place of a key file: a crash leaves the one or the other. Durable when this returns.
 * @throws HoldfastError KEY_FILE_INVALID when it may not be written, FILE_UNREADABLE when the disk refuses
 */
export function replaceSecretFile({ path }: KeyFilePlace, content: Buffer, random: RandomSource): void {
  const target = attempt(path, () => realpathSync(path));
  const temporary = `${target}.${random.bytes(8).toString('hex')}.tmp`;
  attempt(path, () => writeDurably(temporary, content));
  try {
    attempt(path, () => renameSync(temporary, target));
  } catch (thrown) {
    unlinkSync(temporary);
    throw thrown;
  }
  attempt(path, () => syncDirectory(dirname(target)));
}

function refuseUnderDataDir({ path, dataDir }: KeyFilePlace, real: string): void {
  if (!attempt(path, () => isWithin(real, dataDir))) return;
  throw keyFileInvalid(
    path,
    `it lies under the data directory ${dataDir}`,
    'Move the key file to a directory of its own, outside of what is backed up with the data.',
  );
}

function refuseUnsafe(path: string, stats: Stats): void {
  if (!stats.isFile()) {
    throw keyFileInvalid(path, 'it is not a regular file', 'Name the key file itself.');
  }
  if (process.getuid !== undefined && stats.uid !== process.getuid()) {
    const owners = `its owner is user ${stats.uid}, and holdfast runs as user ${process.getuid()}`;
    const mend =
      process.getuid() === 0
        ? `Run holdfast as that user: sudo -u '#${stats.uid}' holdfast …`
        : `Run: chown ${process.getuid()} '${path}'`;
    throw keyFileInvalid(path, owners, mend);
  }
  if ((stats.mode & 0o077) !== 0) {
    const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
    throw keyFileInvalid(path, `others may use it (mode ${mode})`, `Run: chmod 0600 '${path}'`);
  }
  if (stats.size === 0 || stats.size > LIMITS.keyFileBytesMax) {
    const bounds = `a key file has 1 to ${LIMITS.keyFileBytesMax}`;
    throw keyFileInvalid(path, `it has ${stats.size} bytes; ${bounds}`, 'Name the key file itself.');
  }
}

function readWhole(descriptor: number, size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let filled = 0;
  while (filled < size) {
    const count = readSync(descriptor, bytes, filled, size - filled, filled);
    if (count === 0) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

function writeDurably(path: string, content: Buffer): void {
  const descriptor = openSync(path, 'wx', 0o600);
  try {
    fchmodSync(descriptor, 0o600);
    for (let written = 0; written < content.length; ) {
      written += writeSync(descriptor, content, written, content.length - written);
    }
    fsyncSync(descriptor);
  } catch (thrown) {
    unlinkSync(path);
    throw thrown;
  } finally {
    closeSync(descriptor);
  }
}

function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

type Refusal = readonly [problem: string, hint: string];

/** System errors that the operator can mend: what is wrong, what to do. All others are the disk's. */
const REFUSALS = new Map<string | undefined, Refusal>([
  [
    'ENOENT',
    [
      'it does not exist',
      'Give the right path, or put a copy of the file there; for a new cluster holdfast init makes it, but no directory.',
    ],
  ],
  ['ENOTDIR', ['a part of its path is no directory', 'Give the right path.']],
  ['EACCES', ['this user may not use it', 'Give it to the user that holdfast runs as.']],
  [
    'EROFS',
    ['it lies on a file system that is read-only', 'Mount its folder so that holdfast can write it.'],
  ],
  ['EBUSY', ['it is mounted by itself', 'Mount its folder instead, so that the file can be replaced.']],
  ['EPERM', ['this user may not use it', 'Give it to the user that holdfast runs as.']],
  ['ELOOP', ['its links lead nowhere', 'Name the key file itself.']],
  ['ENXIO', ['it is not a regular file', 'Name the key file itself.']],
  ['EEXIST', TAKEN],
]);

/** Runs one step on the disk and says in our words why it failed. */
function attempt<T>(path: string, step: () => T): T {
  try {
    return step();
  } catch (thrown) {
    const refusal = REFUSALS.get(systemErrorCode(thrown));
    throw refusal === undefined ? diskRefused(path, thrown) : keyFileInvalid(path, ...refusal);
  }
}

function diskRefused(path: string, cause: unknown): HoldfastError {
  const code = systemErrorCode(cause) ?? 'unknown';
  return new HoldfastError('FILE_UNREADABLE', `${path} could not be used (${code})`, { field: path, cause });
}
