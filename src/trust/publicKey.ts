import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { HoldfastError } from '../base/errors.ts';

/** The public key of a SubjectPublicKeyInfo (RFC 5280) when it is a point on P-256, else null. */
export function p256PublicKey(spki: Uint8Array): KeyObject | null {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    return isP256(key) ? key : null;
  } catch {
    return null;
  }
}

export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/** The DER form that our own encoder gives this key, whatever form it came in. */
export function spkiOf(publicKey: KeyObject): Buffer {
  return publicKey.export({ format: 'der', type: 'spki' });
}

/** SHA-256 over the SubjectPublicKeyInfo of a public key: what a join token names a node's key by. */
export function keyHash(publicKey: KeyObject): Buffer {
  return createHash('sha256').update(spkiOf(publicKey)).digest();
}

/**
 * SHA-256 over the SubjectPublicKeyInfo of a certificate (RFC 7469): what a pin names a cluster's CA by.
 * @throws HoldfastError CERTIFICATE_INVALID when the bytes are no certificate
 */
export function spkiHash(certificateDer: Uint8Array): Buffer {
  return keyHash(readCertificate(certificateDer).publicKey);
}

/** @throws HoldfastError CERTIFICATE_INVALID when the bytes are no certificate */
export function readCertificate(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(Buffer.from(der));
  } catch (cause) {
    throw new HoldfastError('CERTIFICATE_INVALID', 'these bytes are no X.509 certificate', { cause });
  }
}
