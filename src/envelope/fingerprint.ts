import { createHash, type KeyObject } from 'node:crypto';

/** `sha256:` and the lower-case hex of SHA-256 over the 32 raw bytes of a key. Not secret. */
export type Fingerprint = string & { readonly __brand: 'Fingerprint' };

const FINGERPRINT_PATTERN = /^sha256:[0-9a-f]{64}$/;

/** Whether `text` is written as a fingerprint. */
export function isFingerprint(text: string): text is Fingerprint {
  return FINGERPRINT_PATTERN.test(text);
}

/** An operator gets the same with `base64 -d | sha256sum` over the key. */
export function fingerprintOf(key: KeyObject): Fingerprint {
  const bytes = key.export();
  const digest = createHash('sha256').update(bytes).digest('hex');
  bytes.fill(0);
  return `sha256:${digest}` as Fingerprint;
}
