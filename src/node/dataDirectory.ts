import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Where everything lies under one data directory. */
export interface DataDirectory {
  readonly root: string;
  readonly wal: string;
  /** The keyring in its stored form: wrapped keys only. */
  readonly keyring: string;
  /** What a joining node knows of the others until it has a member table of its own; sealed. */
  readonly seedMembers: string;
  /** What the next start turns into a reset of the administrator; sealed. */
  readonly adminReset: string;
  /** How far the audit sink is. */
  readonly auditSink: string;
  readonly identity: string;
}

/** The paths; nothing is touched. */
export function dataDirectory(path: string): DataDirectory {
  const root = resolve(path);
  return {
    root,
    wal: join(root, 'wal'),
    keyring: join(root, 'keyring'),
    seedMembers: join(root, 'members.sealed'),
    adminReset: join(root, 'admin-reset.sealed'),
    auditSink: join(root, 'audit-sink.json'),
    identity: join(root, 'identity.json'),
  };
}

/** Whether a node was made here: its identity is written last of all. */
export function hasIdentity(directory: DataDirectory): boolean {
  return existsSync(directory.identity);
}
