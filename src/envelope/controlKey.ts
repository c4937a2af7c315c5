import type { KeyObject } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { type Fingerprint, fingerprintOf } from './fingerprint.ts';
import { deriveSubkey, SECRET_KEY_BYTES } from './subkey.ts';

const SUBKEY_PREFIX = 'holdfast/control-key/v1/';

/** The 32-byte key that an operator holds. It is used only through subkeys, one for each label. */
export class ControlKey {
  readonly fingerprint: Fingerprint;
  readonly #key: KeyObject;
  readonly #subkeys = new Map<string, KeyObject>();

  /** @param key 32 bytes */
  constructor(key: KeyObject) {
    assert(key.symmetricKeySize === SECRET_KEY_BYTES, 'a control key has 32 bytes');
    this.#key = key;
    this.fingerprint = fingerprintOf(key);
  }

  /** HKDF subkey for one use, such as `wrap`, `keyring`, `join/joiner`. Labels are constants of the program. */
  subkey(label: string): KeyObject {
    const known = this.#subkeys.get(label);
    if (known !== undefined) return known;
    const subkey = deriveSubkey(this.#key, SUBKEY_PREFIX + label);
    this.#subkeys.set(label, subkey);
    return subkey;
  }
}
