import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { assert } from '../base/assert.ts';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';
import type { StoreId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { ControlKey } from '../envelope/controlKey.ts';
import type { Keyring } from '../envelope/keyring.ts';
import { controlKeyInForce, openKeyring } from '../envelope/keyringForm.ts';

/** Whose keyring it has to be, and what opens it. */
export interface KeyringFileOwner {
  readonly storeId: StoreId;
  /** All that this node holds now. */
  readonly controlKeys: () => readonly ControlKey[];
}

/**
 * The keyring's stored form beside the log: what a restart opens its log and state with. Replaced atomically and
 * synchronously, since the entry that carries a new keyring must not count as applied before.
 */
export class KeyringFile {
  readonly #path: string;
  readonly #controlKeys: () => readonly ControlKey[];
  #stored: Buffer;
  #keyring: Keyring;
  #controlKey: ControlKey;

  /** @throws HoldfastError DATA_DIR_INVALID, FILE_UNREADABLE, CONTROL_KEY_MISMATCH, ENVELOPE_UNREADABLE, CLUSTER_MISMATCH */
  constructor(path: string, { storeId, controlKeys }: KeyringFileOwner) {
    this.#path = path;
    this.#controlKeys = controlKeys;
    this.#stored = readStored(path);
    this.#keyring = openKeyring(this.#stored, controlKeys());
    this.#controlKey = controlKeyInForce(this.#stored, controlKeys());
    if (this.#keyring.storeId === storeId) return;
    throw new HoldfastError(
      'CLUSTER_MISMATCH',
      `${path} belongs to store ${this.#keyring.storeId}, the identity beside it to store ${storeId}`,
      { field: 'data-dir', hint: 'files of two clusters were mixed: give each node its own data directory' },
    );
  }

  get keyring(): Keyring {
    return this.#keyring;
  }

  /** The one in force. */
  get controlKey(): ControlKey {
    return this.#controlKey;
  }

  stored(): Uint8Array {
    return this.#stored;
  }

  /**
   * Takes a keyring from the log or a snapshot. Nothing happens when it is the one that is here, or an earlier one: a
   * restart meets again what it had applied, and keys that are in use on disk must not be lost meanwhile.
   */
  replace(stored: Uint8Array): Keyring {
    const bytes = Buffer.from(stored);
    if (bytes.equals(this.#stored)) return this.#keyring;
    const keyring = openKeyring(bytes, this.#controlKeys());
    assert(keyring.storeId === this.#keyring.storeId, 'a keyring from the log is of this store');
    if (keyring.generation < this.#keyring.generation) return this.#keyring;
    const temporary = `${this.#path}.new`;
    try {
      writeFileSync(temporary, bytes, { mode: 0o600 });
      syncPath(temporary);
      renameSync(temporary, this.#path);
      syncPath(dirname(this.#path));
    } catch (cause) {
      throw new HoldfastError('DISK_FAILED', 'the keyring file could not be replaced', {
        hint: 'check the disk of the data directory and its free space, then start the node again',
        cause,
      });
    }
    this.#stored = bytes;
    this.#keyring = keyring;
    this.#controlKey = controlKeyInForce(bytes, this.#controlKeys());
    return keyring;
  }
}

function syncPath(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function readStored(path: string): Buffer {
  try {
    const bytes = readFileSync(path);
    if (bytes.length <= LIMITS.keyringBytesMax) return bytes;
  } catch (thrown) {
    const code = systemErrorCode(thrown);
    if (code !== 'ENOENT') {
      throw new HoldfastError('FILE_UNREADABLE', `${path} cannot be read: the system says ${code}`, {
        field: 'data-dir',
        hint: 'check who owns the data directory and what is in it',
        cause: thrown,
      });
    }
  }
  throw new HoldfastError('DATA_DIR_INVALID', `${path} is missing or too large`, {
    field: 'data-dir',
    hint: 'this directory is damaged: remove the node with holdfast member remove and join it anew',
  });
}
