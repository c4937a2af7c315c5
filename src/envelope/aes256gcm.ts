import { createCipheriv, createDecipheriv } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { TAG_BYTES } from './format.ts';

export const GCM_KEY_BYTES = 32;
export const GCM_IV_BYTES = 12;

/** Always passed: without it Node accepts tags of 4 bytes when decrypting. */
const OPTIONS = { authTagLength: TAG_BYTES };

export interface GcmInput {
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** 12 bytes, never used twice under one key. */
  readonly iv: Uint8Array;
  readonly associatedData: Uint8Array;
}

/**
 * AES-256-GCM (NIST SP 800-38D). Writes ciphertext, then the 16-byte tag, into `target` at `offset`.
 * Not for callers outside this folder: it takes a nonce, which only xaes256gcm.ts may choose.
 */
export function gcmSeal(input: GcmInput, plaintext: Uint8Array, target: Buffer, offset: number): void {
  checkLengths(input);
  assert(target.length >= offset + plaintext.length + TAG_BYTES, 'the target has room for the tag');
  const cipher = createCipheriv('aes-256-gcm', input.key, input.iv, OPTIONS);
  cipher.setAAD(input.associatedData);
  if (plaintext.length > 0) target.set(cipher.update(plaintext), offset);
  cipher.final();
  target.set(cipher.getAuthTag(), offset + plaintext.length);
}

/** The plaintext of ciphertext and tag, or null when the tag does not verify. Nothing is released before that. */
export function gcmOpen(input: GcmInput, sealed: Uint8Array): Buffer | null {
  checkLengths(input);
  if (sealed.length < TAG_BYTES) return null;
  const bodyLength = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', input.key, input.iv, OPTIONS);
  decipher.setAAD(input.associatedData);
  decipher.setAuthTag(sealed.subarray(bodyLength));
  const plaintext = decipher.update(sealed.subarray(0, bodyLength));
  try {
    decipher.final();
  } catch {
    plaintext.fill(0);
    return null;
  }
  return plaintext;
}

function checkLengths({ key, iv }: GcmInput): void {
  assert(key.length === GCM_KEY_BYTES, 'an AES-256 key has 32 bytes');
  assert(iv.length === GCM_IV_BYTES, 'a GCM nonce has 12 bytes');
}
