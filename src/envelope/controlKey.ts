import type { KeyObject } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { type Fingerprint, fingerprintOf } from './fingerprint.ts';
import { deriveSubkey, SECRET_KEY_BYTES } from './subkey.ts';

/** A 32-byte key that an operator holds. It is used only through subkeys, one for each label. */
export abstract class OperatorKey {
  readonly fingerprint: Fingerprint;
  readonly #key: KeyObject;
  readonly #prefix: string;
  readonly #subkeys = new Map<string, KeyObject>();

  /** @param key 32 bytes */
  constructor(key: KeyObject, prefix: string) {
    assert(key.symmetricKeySize === SECRET_KEY_BYTES, 'a key of an operator has 32 bytes');
    this.#key = key;
    this.#prefix = prefix;
    this.fingerprint = fingerprintOf(key);
  }

  /** The raw bytes, to be wrapped and then wiped by the caller. Only `wrapOperatorKey` may call it. */
  exportForTransfer(): Buffer {
    return this.#key.export();
  }

  /** HKDF subkey for one use, such as `wrap`, `keyring`, `join/joiner`. Labels are constants of the program. */
  subkey(label: string): KeyObject {
    const known = this.#subkeys.get(label);
    if (known !== undefined) return known;
    const subkey = deriveSubkey(this.#key, this.#prefix + label);
    this.#subkeys.set(label, subkey);
    return subkey;
  }
}

/** What wraps the data keys. */
export class ControlKey extends OperatorKey {
  constructor(key: KeyObject) {
    super(key, 'holdfast/control-key/v1/');
  }
}

/** What signs JWTs. */
export class JwtKey extends OperatorKey {
  constructor(key: KeyObject) {
    super(key, 'holdfast/jwt-secret/v1/');
  }
}
