import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { HoldfastError } from '../base/errors.ts';

/** Where everything lies under one data directory. */
export interface DataDirectory {
  readonly root: string;
  readonly wal: string;
  readonly trust: string;
  /** The keyring in its stored form: wrapped keys only. */
  readonly keyring: string;
  /** What a joining node knows of the others until it has a member table of its own; sealed. */
  readonly seedMembers: string;
  readonly identity: string;
}

/** The paths; nothing is touched. */
export function dataDirectory(path: string): DataDirectory {
  const root = resolve(path);
  return {
    root,
    wal: join(root, 'wal'),
    trust: join(root, 'trust'),
    keyring: join(root, 'keyring'),
    seedMembers: join(root, 'members.sealed'),
    identity: join(root, 'identity.json'),
  };
}

/** Whether a node was made here: its identity is written last of all. */
export function hasIdentity(directory: DataDirectory): boolean {
  return existsSync(directory.identity);
}

/**
 * Makes the directory for a new node.
 * @throws HoldfastError DATA_DIR_INVALID when something is there already
 */
export function prepareEmpty(directory: DataDirectory): void {
  try {
    mkdirSync(directory.root, { recursive: true, mode: 0o700 });
    const found = readdirSync(directory.root).filter((name) => name !== 'lock' && name !== 'lost+found');
    if (found.length > 0) {
      throw new HoldfastError('DATA_DIR_INVALID', `the data directory ${directory.root} is not empty`, {
        field: 'data-dir',
        hint: hasIdentity(directory)
          ? 'a node was made here before: start it with holdfast server'
          : 'name an empty directory, or remove what an earlier attempt left',
      });
    }
  } catch (thrown) {
    if (thrown instanceof HoldfastError) throw thrown;
    throw new HoldfastError('DATA_DIR_INVALID', `the data directory ${directory.root} cannot be made`, {
      field: 'data-dir',
      hint: 'check its path and who may write there',
      cause: thrown,
    });
  }
}
