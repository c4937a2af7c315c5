import type { KeyObject } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import type { OperatorKey } from './controlKey.ts';
import { type Fingerprint, fingerprintOf } from './fingerprint.ts';
import { type FileKey, type FileKeyState, formatKeyFile, parseKeyFile } from './keyFile.ts';
import { type KeyFilePlace, readSecretFile, replaceSecretFile } from './keyFileDisk.ts';
import { intoSecretKey, SECRET_KEY_BYTES } from './subkey.ts';

export interface HeldKeysOptions<Key extends OperatorKey> {
  readonly source: 'environment' | 'file';
  /** Those that it started with. */
  readonly all: readonly Key[];
  readonly place: KeyFilePlace;
  readonly wrap: (key: KeyObject) => Key;
  /** The variable that keys from the environment come in, and what to do when one of them is to be changed. */
  readonly variable: string;
  readonly environmentHint: string;
  readonly random: RandomSource;
  readonly clock: Clock;
}

/**
 * The keys of one kind that a running node holds for its operator: those it started with, and those that a change of keys
 * brings in and takes away. What comes from a file is written there before it counts; what comes from the environment is
 * the operator's to change.
 */
export class HeldKeys<Key extends OperatorKey = OperatorKey> {
  readonly #options: HeldKeysOptions<Key>;
  #all: readonly Key[];

  constructor(options: HeldKeysOptions<Key>) {
    this.#options = options;
    this.#all = options.all;
  }

  get source(): 'environment' | 'file' {
    return this.#options.source;
  }

  get all(): readonly Key[] {
    return this.#all;
  }

  find(fingerprint: string): Key | null {
    return this.#all.find((key) => key.fingerprint === fingerprint) ?? null;
  }

  /** Of the key file. */
  get path(): string {
    return this.#options.place.path;
  }

  /** A restart would find it: it is in the file as it is now. @throws HoldfastError as the file is read */
  isStored(fingerprint: string): boolean {
    if (this.source === 'environment') return this.find(fingerprint) !== null;
    return this.#read().some((key) => key.fingerprint === fingerprint);
  }

  /** One that a restart would find as well. @throws HoldfastError as the file is read */
  findStored(fingerprint: string): Key | null {
    const held = this.find(fingerprint);
    return held !== null && this.isStored(fingerprint) ? held : null;
  }

  /** A new key, stored beside the others as `prepared`. @throws HoldfastError KEY_FILE_INVALID, FILE_UNREADABLE */
  make(): Key {
    return this.#store(this.#options.random.bytes(SECRET_KEY_BYTES));
  }

  /**
   * Stores a key that another member has made, as `make` does; one that is held already stays as it is.
   * @param bytes wiped
   * @throws HoldfastError CONTROL_KEY_MISMATCH when it is not the one of this fingerprint; as `make`
   */
  take(bytes: Buffer, fingerprint: Fingerprint): Key {
    if (bytes.length !== SECRET_KEY_BYTES) {
      bytes.fill(0);
      throw new HoldfastError('CONTROL_KEY_MISMATCH', 'what was sent as a key is none', {
        field: 'wrapped',
        hint: 'run the same release of holdfast on all nodes',
      });
    }
    const held = this.findStored(fingerprint);
    if (held !== null) {
      bytes.fill(0);
      return held;
    }
    return this.#store(bytes, fingerprint);
  }

  /** Marks the key in force as `active` in the file, and the others as `legacy`; for who reads the file. */
  inForce(fingerprint: Fingerprint): void {
    this.#update((keys) =>
      keys.map((key): FileKey => {
        const state: FileKeyState = key.fingerprint === fingerprint ? 'active' : 'legacy';
        return key.state === 'prepared' && state === 'legacy' ? key : { ...key, state };
      }),
    );
  }

  /** Takes a key out of the file and out of memory. From the environment none is taken away. */
  remove(fingerprint: string): void {
    if (this.source === 'environment' || this.find(fingerprint) === null) return;
    this.#update((keys) => keys.filter((key) => key.fingerprint !== fingerprint));
    this.#all = this.#all.filter((key) => key.fingerprint !== fingerprint);
  }

  /** Those that a rekey has brought and that are not in force. */
  get prepared(): readonly Fingerprint[] {
    if (this.source === 'environment') return [];
    return this.#read().flatMap(({ fingerprint, state }) => (state === 'prepared' ? fingerprint : []));
  }

  #store(bytes: Buffer, expected: Fingerprint | null = null): Key {
    const key = intoSecretKey(bytes);
    const fingerprint = fingerprintOf(key);
    if (expected !== null && fingerprint !== expected) {
      throw new HoldfastError(
        'CONTROL_KEY_MISMATCH',
        `the key that was sent is ${fingerprint}, not ${expected}`,
        { field: 'new_fingerprint', hint: 'abort the change and begin it again' },
      );
    }
    if (this.source === 'environment') {
      throw new HoldfastError(
        'KEY_FILE_INVALID',
        `${this.#options.variable} of this node comes from the environment`,
        {
          field: this.#options.variable,
          hint: this.#options.environmentHint,
        },
      );
    }
    if (this.#all.length >= LIMITS.controlKeysMax - 1) {
      throw new HoldfastError('KEY_FILE_INVALID', `the key file holds ${this.#all.length} keys already`, {
        field: this.#options.place.path,
        hint: 'take out keys that nothing is sealed by any more',
      });
    }
    const created = new Date(this.#options.clock.wallMs()).toISOString();
    const stored: FileKey = { key, fingerprint, state: 'prepared', created };
    // Another node may use the same file, and have stored it.
    this.#update((keys) => (keys.some((one) => one.fingerprint === fingerprint) ? keys : [...keys, stored]));
    const made = this.#options.wrap(key);
    this.#all = [...this.#all.filter((one) => one.fingerprint !== fingerprint), made];
    return made;
  }

  /** Nothing is written when nothing changes. */
  #update(change: (keys: readonly FileKey[]) => readonly FileKey[]): void {
    if (this.source === 'environment') return;
    const before = this.#read();
    const after = change(before);
    const same =
      after.length === before.length && after.every(({ state }, at) => state === before[at]?.state);
    if (same) return;
    const content = formatKeyFile(after);
    try {
      // What no start would accept is not written.
      parseKeyFile(content, this.#options.place.path);
      replaceSecretFile(this.#options.place, content, this.#options.random);
    } finally {
      content.fill(0);
    }
  }

  /** As it is now: an operator may have written it too. */
  #read(): readonly FileKey[] {
    const bytes = readSecretFile(this.#options.place);
    try {
      return parseKeyFile(bytes, this.#options.place.path);
    } finally {
      bytes.fill(0);
    }
  }
}
