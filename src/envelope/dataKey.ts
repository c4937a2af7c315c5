import { createHmac, type KeyObject } from 'node:crypto';
import { assert } from '../base/assert.ts';
import type { RandomSource } from '../base/random.ts';
import { isKeyId, KEY_ID_BYTES, type KeyId } from './format.ts';
import { deriveSubkey, intoSecretKey, SECRET_KEY_BYTES } from './subkey.ts';
import { Xaes256Gcm } from './xaes256gcm.ts';

const COMMITMENT_LABEL = 'holdfast/data-key/v1/commitment';
const READABLE_MAC_LABEL = 'holdfast/data-key/v1/readable';

/** A 32-byte key that seals envelopes, named by a random 8-byte id. Its bytes never leave a KeyObject but wrapped. */
export class DataKey {
  readonly id: KeyId;
  readonly idBytes: Buffer;
  /** Suite 1 under this key. */
  readonly cipher: Xaes256Gcm;
  /** Key of suite 0's tags. */
  readonly readableMacKey: KeyObject;
  /** Tells this key from every other without telling the key: 64 hex digits, kept beside its wrapped form. */
  readonly commitment: string;
  readonly #key: KeyObject;

  /** @param key 32 bytes */
  constructor(id: KeyId, key: KeyObject) {
    assert(isKeyId(id), 'a key id is 16 lower-case hex digits');
    this.id = id;
    this.idBytes = Buffer.from(id, 'hex');
    this.#key = key;
    this.cipher = new Xaes256Gcm(key);
    this.readableMacKey = deriveSubkey(key, READABLE_MAC_LABEL);
    this.commitment = createHmac('sha256', deriveSubkey(key, COMMITMENT_LABEL))
      .update(COMMITMENT_LABEL)
      .digest('hex');
  }

  /** The raw bytes, to be wrapped and then wiped by the caller. Only keyring files may call it. */
  exportForWrap(): Buffer {
    return this.#key.export();
  }
}

/** A new key with a new id. */
export function newDataKey(random: RandomSource): DataKey {
  const id = random.bytes(KEY_ID_BYTES).toString('hex') as KeyId;
  return new DataKey(id, intoSecretKey(random.bytes(SECRET_KEY_BYTES)));
}
