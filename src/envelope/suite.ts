import { createHmac, timingSafeEqual } from 'node:crypto';
import type { DataKey } from './dataKey.ts';
import { HEADER_BYTES, NONCE_OFFSET, TAG_BYTES } from './format.ts';

/** What protects an envelope, besides its own bytes. */
export interface Protection {
  readonly dataKey: DataKey;
  readonly associatedData: Uint8Array;
}

/** One way of protecting a body. Numbers are part of the stored format. */
export interface Suite {
  readonly number: 0 | 1;
  /** Which of a codec's two forms is the body. */
  readonly form: 'binary' | 'json';
  /** Writes body and tag into `envelope`, whose header with its nonce is already there. */
  protect(envelope: Buffer, body: Uint8Array, protection: Protection): void;
  /** The body, or null when the tag does not verify. */
  unprotect(envelope: Buffer, protection: Protection): Buffer | null;
}

export const XAES_SUITE: Suite = {
  number: 1,
  form: 'binary',
  protect(envelope, body, { dataKey, associatedData }) {
    const nonce = envelope.subarray(NONCE_OFFSET, HEADER_BYTES);
    dataKey.cipher.seal({ nonce, associatedData }, body, envelope, HEADER_BYTES);
  },
  unprotect(envelope, { dataKey, associatedData }) {
    const nonce = envelope.subarray(NONCE_OFFSET, HEADER_BYTES);
    return dataKey.cipher.open({ nonce, associatedData }, envelope.subarray(HEADER_BYTES));
  },
};

/** Toggle off: readable without the key, not forgeable without it. */
export const READABLE_SUITE: Suite = {
  number: 0,
  form: 'json',
  protect(envelope, body, protection) {
    const tagOffset = HEADER_BYTES + body.length;
    envelope.set(body, HEADER_BYTES);
    envelope.set(readableTag(envelope.subarray(0, tagOffset), protection), tagOffset);
  },
  unprotect(envelope, protection) {
    const tagOffset = envelope.length - TAG_BYTES;
    const expected = readableTag(envelope.subarray(0, tagOffset), protection);
    if (!timingSafeEqual(expected, envelope.subarray(tagOffset))) return null;
    return envelope.subarray(HEADER_BYTES, tagOffset);
  },
};

/** Keyed by the number in the header; what is not in here is ENVELOPE_SUITE_UNKNOWN. */
export const SUITES: ReadonlyMap<number, Suite> = new Map(
  [READABLE_SUITE, XAES_SUITE].map((suite) => [suite.number, suite]),
);

/** HMAC-SHA-256, cut to 16 bytes, over u32 length of AAD | AAD | header | body. The header has a fixed length. */
function readableTag(headerAndBody: Uint8Array, { dataKey, associatedData }: Protection): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(associatedData.length);
  const mac = createHmac('sha256', dataKey.readableMacKey);
  return mac.update(length).update(associatedData).update(headerAndBody).digest().subarray(0, TAG_BYTES);
}
