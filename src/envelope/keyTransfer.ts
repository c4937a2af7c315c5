import { lengthPrefixed } from '../base/bytes.ts';
import type { RandomSource } from '../base/random.ts';
import type { ControlKey, OperatorKey } from './controlKey.ts';
import { NONCE_BYTES, TAG_BYTES } from './format.ts';
import { SECRET_KEY_BYTES } from './subkey.ts';
import { Xaes256Gcm } from './xaes256gcm.ts';

const FORMAT = 'holdfast/key-transfer/v1';
const LABEL = 'rekey/transfer';
const TRANSFER_BYTES = NONCE_BYTES + SECRET_KEY_BYTES + TAG_BYTES;

/** Whom a key is for, in which change of keys. */
export interface Transfer {
  readonly changeId: string;
  readonly to: string;
  readonly fingerprint: string;
}

/**
 * A new key of the operator's on its way to one member: nonce, then XAES-256-GCM under a subkey of the key in force. It travels
 * over mutual TLS between members that have proved that key; this is so that it is worth nothing without it either.
 */
export function wrapOperatorKey(
  key: OperatorKey,
  { under, transfer, random }: { under: ControlKey; transfer: Transfer; random: RandomSource },
): Buffer {
  const wrapped = Buffer.alloc(TRANSFER_BYTES);
  const nonce = random.bytes(NONCE_BYTES);
  wrapped.set(nonce, 0);
  const bytes = key.exportForTransfer();
  const cipher = new Xaes256Gcm(under.subkey(LABEL));
  cipher.seal({ nonce, associatedData: associatedDataOf(transfer) }, bytes, wrapped, NONCE_BYTES);
  bytes.fill(0);
  return wrapped;
}

/** The 32 bytes, or null when they are not for this transfer, or not under this key. The caller wipes them. */
export function unwrapOperatorKey(
  wrapped: Buffer,
  { under, transfer }: { under: ControlKey; transfer: Transfer },
): Buffer | null {
  if (wrapped.length !== TRANSFER_BYTES) return null;
  const nonce = wrapped.subarray(0, NONCE_BYTES);
  const cipher = new Xaes256Gcm(under.subkey(LABEL));
  return cipher.open({ nonce, associatedData: associatedDataOf(transfer) }, wrapped.subarray(NONCE_BYTES));
}

function associatedDataOf({ changeId, to, fingerprint }: Transfer): Buffer {
  return lengthPrefixed([FORMAT, changeId, to, fingerprint].map((field) => Buffer.from(field)));
}
