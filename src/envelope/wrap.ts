import type { StoreId } from '../base/ids.ts';
import type { RandomSource } from '../base/random.ts';
import { AssociatedData } from './associatedData.ts';
import type { ControlKey } from './controlKey.ts';
import { DataKey } from './dataKey.ts';
import {
  ENVELOPE_OVERHEAD_BYTES,
  HEADER_BYTES,
  type KeyId,
  NONCE_BYTES,
  NONCE_OFFSET,
  readEnvelopeHeader,
  writeHeader,
} from './format.ts';
import { intoSecretKey, SECRET_KEY_BYTES } from './subkey.ts';
import { XAES_SUITE } from './suite.ts';
import { Xaes256Gcm } from './xaes256gcm.ts';

const WRAP_LABEL = 'wrap';

/** A wrapped data key is an envelope of suite 1 of the data key's 32 bytes. */
export const WRAPPED_BYTES = SECRET_KEY_BYTES + ENVELOPE_OVERHEAD_BYTES;

/** The place names only what the file is; the key id in the header names which data key it holds. */
const WRAP_PLACE = { kind: 'file', name: 'data-key', generation: 0 } as const;

export interface WrapSources {
  readonly storeId: StoreId;
  readonly controlKey: ControlKey;
  readonly random: RandomSource;
}

/**
 * A data key as an envelope with purpose `keyring`, under the subkey `wrap` of the control key. The header names
 * the data key inside, not the control key.
 */
export function wrapDataKey(dataKey: DataKey, { storeId, controlKey, random }: WrapSources): Buffer {
  const wrapped = Buffer.alloc(WRAPPED_BYTES);
  writeHeader(wrapped, { suite: XAES_SUITE.number, keyIdBytes: dataKey.idBytes });
  wrapped.set(random.bytes(NONCE_BYTES), NONCE_OFFSET);
  const nonce = wrapped.subarray(NONCE_OFFSET, HEADER_BYTES);
  const associatedData = wrapAssociatedData(storeId, dataKey.id);
  const bytes = dataKey.exportForWrap();
  new Xaes256Gcm(controlKey.subkey(WRAP_LABEL)).seal({ nonce, associatedData }, bytes, wrapped, HEADER_BYTES);
  bytes.fill(0);
  return wrapped;
}

/**
 * The data key of this id, or null when the envelope holds it not, or not under this control key.
 * @throws HoldfastError when the bytes are no envelope of a version that is known here
 */
export function unwrapDataKey(
  wrapped: Buffer,
  { id, storeId, controlKey }: { id: KeyId; storeId: StoreId; controlKey: ControlKey },
): DataKey | null {
  const header = readEnvelopeHeader(wrapped, () => `the wrapped form of data key ${id}`);
  if (header.suite !== XAES_SUITE.number || header.keyId !== id) return null;
  const nonce = wrapped.subarray(NONCE_OFFSET, HEADER_BYTES);
  const associatedData = wrapAssociatedData(storeId, id);
  const cipher = new Xaes256Gcm(controlKey.subkey(WRAP_LABEL));
  const bytes = cipher.open({ nonce, associatedData }, wrapped.subarray(HEADER_BYTES));
  return bytes?.length === SECRET_KEY_BYTES ? new DataKey(id, intoSecretKey(bytes)) : null;
}

function wrapAssociatedData(storeId: StoreId, keyId: KeyId): Buffer {
  return new AssociatedData(storeId).bytes({
    suite: XAES_SUITE.number,
    keyId,
    purpose: 'keyring',
    place: WRAP_PLACE,
  });
}
