import { createHash, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { assert } from '../base/assert.ts';
import type { RandomSource } from '../base/random.ts';

/**
 * What a service shows to be let in, version 1:
 *
 *   hft_ id _ secret _ checksum
 *
 * id: 16 hex digits; secret: 32 bytes, base64url; checksum: CRC-32 of all before its `_`, 8 hex digits, so that whoever searches texts
 * for tokens knows one from what only looks like it. Nothing but the secret is secret.
 */
const FORM = /^(hft_([0-9a-f]{16})_([A-Za-z0-9_-]{43}))_([0-9a-f]{8})$/;
const SECRET_BYTES = 32;
const HASH_BYTES = 32;

export interface NewAccessToken {
  /** Shown once. */
  readonly text: string;
  readonly id: string;
  /** What the store keeps. */
  readonly secretHash: Buffer;
}

export interface ShownAccessToken {
  readonly id: string;
  /** Of the secret that was shown. */
  readonly secretHash: Buffer;
}

export function createAccessToken(random: RandomSource): NewAccessToken {
  const id = random.bytes(8).toString('hex');
  const secret = random.bytes(SECRET_BYTES);
  const body = `hft_${id}_${secret.toString('base64url')}`;
  const secretHash = hashOf(secret);
  secret.fill(0);
  return { text: `${body}_${checksum(body)}`, id, secretHash };
}

/** Null: it is none, whatever is wrong with it. */
export function parseAccessToken(text: string): ShownAccessToken | null {
  const [, body = '', id = '', secretText = '', sum] = FORM.exec(text) ?? [];
  if (sum !== checksum(body)) return null;
  const secret = Buffer.alloc(SECRET_BYTES);
  secret.write(secretText, 'base64url');
  const secretHash = hashOf(secret);
  secret.fill(0);
  return { id, secretHash };
}

/** Whether the secret that was shown is the one of which the store keeps this hash. Takes as long for null, where there is none. */
export function isSecretOf(shown: ShownAccessToken, secretHash: Uint8Array | null): boolean {
  assert(secretHash === null || secretHash.length === HASH_BYTES, 'the hash of a secret has 32 bytes');
  const isSame = timingSafeEqual(shown.secretHash, secretHash ?? Buffer.alloc(HASH_BYTES));
  return isSame && secretHash !== null;
}

/** SHA-256. The secret has 256 random bits, so nothing slower is needed. */
function hashOf(secret: Uint8Array): Buffer {
  return createHash('sha256').update(secret).digest();
}

function checksum(body: string): string {
  return crc32(body).toString(16).padStart(8, '0');
}
