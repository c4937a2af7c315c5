import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { splitAddress } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';

/**
 * The text that lets one node join, version 1, six parts with a dot between them:
 *
 *   hf1 . id . secret . pin . addresses . checksum
 *
 * id: 16 hex digits; secret: 32 bytes, base64url; pin: SHA-256 of the CA's SubjectPublicKeyInfo, 64 hex digits;
 * addresses: the peer addresses with commas between them, base64url; checksum: CRC-32 of all before its dot, 8 hex
 * digits, against mistyping and cutting only. Nothing but the secret is secret.
 */
const VERSION = 'hf1';
const SECRET_BYTES = 32;

export interface JoinToken {
  readonly id: string;
  /** 32 bytes. Never shown, logged or stored: only its hash is. */
  readonly secret: Buffer;
  /** 32 bytes: SHA-256 of the CA's SubjectPublicKeyInfo. */
  readonly spkiHash: Buffer;
  /** 1 to LIMITS.joinTokenAddressesMax addresses as host:port. */
  readonly addresses: readonly string[];
}

export interface NewJoinToken {
  /** What the operator hands over, once. */
  readonly text: string;
  readonly id: string;
  /** What the store keeps. */
  readonly secretHash: Buffer;
}

export interface CreateJoinTokenOptions {
  readonly random: RandomSource;
  /** 32 bytes, from spkiHash of the CA. */
  readonly spkiHash: Uint8Array;
  /** At least one host:port; of more than LIMITS.joinTokenAddressesMax the first ones are taken. */
  readonly addresses: readonly string[];
}

/** A fresh token. @throws HoldfastError INVALID_ARGUMENT field `addresses` */
export function createJoinToken({ random, spkiHash, addresses }: CreateJoinTokenOptions): NewJoinToken {
  assert(spkiHash.length === 32, 'a pin has 32 bytes');
  const some = addresses.slice(0, LIMITS.joinTokenAddressesMax);
  if (some.length === 0 || !some.every((address) => splitAddress(address) !== null)) {
    throw new HoldfastError('INVALID_ARGUMENT', 'a join token needs peer addresses, each as host:port', {
      field: 'addresses',
    });
  }
  const id = random.bytes(8).toString('hex');
  const secret = random.bytes(SECRET_BYTES);
  const body = [
    VERSION,
    id,
    secret.toString('base64url'),
    Buffer.from(spkiHash).toString('hex'),
    Buffer.from(some.join(',')).toString('base64url'),
  ].join('.');
  const secretHash = hashTokenSecret(secret);
  secret.fill(0);
  return { text: `${body}.${checksum(body)}`, id, secretHash };
}

/** SHA-256. The secret has 256 random bits, so nothing slower is needed. */
export function hashTokenSecret(secret: Uint8Array): Buffer {
  return createHash('sha256').update(secret).digest();
}

/**
 * Reads a token as an operator typed or pasted it; white space around it is let pass.
 * @throws HoldfastError TOKEN_MALFORMED that says which part is wrong and never repeats any of it
 */
export function parseJoinToken(text: string): JoinToken {
  if (text.length > LIMITS.joinTokenTextBytesMax) throw malformed('it is too long');
  const trimmed = text.trim();
  const parts = trimmed.split('.');
  const [version, id = '', secretText = '', pin = '', addressText = '', sum] = parts;
  if (version !== VERSION) throw malformed(`it does not begin with ${VERSION}.`);
  if (sum === undefined || parts.length !== 6) throw malformed(`it has ${parts.length} parts instead of 6`);
  if (!/^[0-9a-f]{16}$/.test(id)) throw malformed('its id (part 2) is not 16 hex digits');
  const secret = fromBase64url(secretText);
  if (secret?.length !== SECRET_BYTES) throw malformed('its secret (part 3) is cut or mistyped');
  if (!/^[0-9a-f]{64}$/.test(pin)) throw malformed('its CA hash (part 4) is not 64 hex digits');
  const addresses = parseAddresses(addressText);
  if (sum !== checksum(trimmed.slice(0, trimmed.lastIndexOf('.')))) {
    throw malformed('its checksum (part 6) does not match: a character is wrong somewhere');
  }
  return { id, secret, spkiHash: Buffer.from(pin, 'hex'), addresses };
}

function parseAddresses(encoded: string): readonly string[] {
  const addresses = fromBase64url(encoded)?.toString('latin1').split(',') ?? [];
  const bounded = addresses.length >= 1 && addresses.length <= LIMITS.joinTokenAddressesMax;
  if (!bounded || !addresses.every((address) => splitAddress(address) !== null)) {
    throw malformed('its addresses (part 5) are cut or mistyped');
  }
  return addresses;
}

/** Only the one canonical spelling of the bytes: Node's decoder skips what it does not know. */
function fromBase64url(text: string): Buffer | null {
  const bytes = Buffer.alloc(Math.floor((text.length * 3) / 4));
  bytes.write(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

function malformed(what: string): HoldfastError {
  return new HoldfastError('TOKEN_MALFORMED', `this is no whole join token: ${what}`, {
    field: 'token',
    hint: 'Copy the whole token again, or make a new one with `holdfast member add-token`.',
  });
}
