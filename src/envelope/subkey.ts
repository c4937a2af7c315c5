import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';

/** Bytes of every secret key in holdfast: control, data and JWT keys and what is derived from them. */
export const SECRET_KEY_BYTES = 32;

/**
 * HKDF-SHA-256 (RFC 5869) of a 32-byte key, with an empty salt and `label` as info.
 * Labels are part of the stored and of the wire formats; each use has one of its own.
 */
export function deriveSubkey(key: KeyObject, label: string): KeyObject {
  const bytes = Buffer.from(hkdfSync('sha256', key, Buffer.alloc(0), label, SECRET_KEY_BYTES));
  return intoSecretKey(bytes);
}

/** A KeyObject of these bytes, which are wiped: the caller gives them away. */
export function intoSecretKey(bytes: Buffer): KeyObject {
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}
