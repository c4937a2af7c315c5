import { assert } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

/**
 * The envelope, version 1, big-endian:
 *
 *   "HFE" | version u8 | suite u8 | key id 8 bytes | nonce 24 bytes | body | tag 16 bytes
 */
export const ENVELOPE_VERSION = 1;
export const KEY_ID_BYTES = 8;
export const NONCE_BYTES = 24;
export const TAG_BYTES = 16;
const MAGIC = Buffer.from('HFE', 'latin1');
const VERSION_OFFSET = 3;
const SUITE_OFFSET = 4;
const KEY_ID_OFFSET = 5;
export const NONCE_OFFSET = KEY_ID_OFFSET + KEY_ID_BYTES;
/** Bytes before the body. */
export const HEADER_BYTES = NONCE_OFFSET + NONCE_BYTES;
/** What an envelope is longer than its body. */
export const ENVELOPE_OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES;

assert(HEADER_BYTES === 37, 'version 1 of the envelope has a header of 37 bytes');
assert(
  LIMITS.walBatchBytesMax + ENVELOPE_OVERHEAD_BYTES < LIMITS.envelopeBytesMax,
  'a largest WAL batch fits into an envelope',
);

/** What an envelope is for; bound into its tag, so that one kind never opens as another. */
export const PURPOSES = ['forward', 'entry', 'record', 'audit', 'snapshot', 'keyring', 'trust'] as const;
export type Purpose = (typeof PURPOSES)[number];

/** 64 random bits as 16 lower-case hex digits: the name of a key in an envelope's header. */
export type KeyId = string & { readonly __brand: 'KeyId' };

const KEY_ID_PATTERN = /^[0-9a-f]{16}$/;

/** Whether `text` is written as a key id. */
export function isKeyId(text: string): text is KeyId {
  return KEY_ID_PATTERN.test(text);
}

/** What anyone can read of an envelope without a key. Not authenticated. */
export interface EnvelopeHeader {
  readonly version: number;
  /** 1: XAES-256-GCM; 0: readable JSON with a MAC. Other numbers are not known here. */
  readonly suite: number;
  readonly keyId: KeyId;
}

/** Writes all of the header but the nonce, which belongs at NONCE_OFFSET. */
export function writeHeader(target: Buffer, fields: { suite: number; keyIdBytes: Uint8Array }): void {
  assert(fields.keyIdBytes.length === KEY_ID_BYTES, 'a key id has 8 bytes');
  target.set(MAGIC, 0);
  target[VERSION_OFFSET] = ENVELOPE_VERSION;
  target[SUITE_OFFSET] = fields.suite;
  target.set(fields.keyIdBytes, KEY_ID_OFFSET);
}

/**
 * Reads the header, to count or to choose a key. Says nothing about whether the envelope opens.
 * @param subject names the envelope in an error, never its content; called only then
 * @throws HoldfastError ENVELOPE_UNREADABLE (no envelope at all), ENVELOPE_VERSION_UNKNOWN
 */
export function readEnvelopeHeader(envelope: Buffer, subject: () => string): EnvelopeHeader {
  const bytes = envelope.length;
  if (bytes < ENVELOPE_OVERHEAD_BYTES || bytes > LIMITS.envelopeBytesMax) {
    throw unreadable(`${subject()} has ${bytes} bytes, which no envelope has (key id unknown)`);
  }
  if (envelope[0] !== MAGIC[0] || envelope[1] !== MAGIC[1] || envelope[2] !== MAGIC[2]) {
    throw unreadable(`${subject()} does not begin as an envelope (key id unknown)`);
  }
  const version = envelope[VERSION_OFFSET] ?? 0;
  if (version !== ENVELOPE_VERSION) {
    throw new HoldfastError(
      'ENVELOPE_VERSION_UNKNOWN',
      `${subject()} has envelope version ${version}; this program knows version ${ENVELOPE_VERSION}`,
      { hint: 'Run the release of holdfast that wrote it, or a later one.' },
    );
  }
  const keyId = envelope.toString('hex', KEY_ID_OFFSET, NONCE_OFFSET) as KeyId;
  return { version, suite: envelope[SUITE_OFFSET] ?? 0, keyId };
}

/** So many bytes of an envelope say what `headersIn` tells. */
export const HEADER_START_BYTES = NONCE_OFFSET;
const VERSIONED_MAGIC = Buffer.concat([MAGIC, Buffer.from([ENVELOPE_VERSION])]);

/** What begins like an envelope of this version anywhere in the bytes, whatever they are; for counting. */
export function* headersIn(bytes: Buffer): Iterable<Pick<EnvelopeHeader, 'suite' | 'keyId'>> {
  const last = bytes.length - HEADER_START_BYTES;
  for (
    let at = bytes.indexOf(VERSIONED_MAGIC);
    at >= 0 && at <= last;
    at = bytes.indexOf(VERSIONED_MAGIC, at + 1)
  ) {
    const keyId = bytes.toString('hex', at + KEY_ID_OFFSET, at + NONCE_OFFSET) as KeyId;
    yield { suite: bytes[at + SUITE_OFFSET] ?? 0, keyId };
  }
}

/** The one error of everything that does not open. Carries no cause: a cause could hold content. */
export function unreadable(message: string): HoldfastError {
  return new HoldfastError('ENVELOPE_UNREADABLE', message, {
    hint: 'It is damaged, was moved from another place, or belongs to another store.',
  });
}
