import { createHash } from 'node:crypto';

/** `sha256:` and the SHA-256 of a certificate (DER), hex: how `cluster rotate-ca --status` and `openssl x509 -fingerprint` name it. */
export function authorityFingerprint(certificate: Uint8Array): string {
  return `sha256:${createHash('sha256').update(certificate).digest('hex')}`;
}
