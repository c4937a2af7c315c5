import { webcrypto } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { ClusterId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import { ECDSA_P256, x509 } from './x509.ts';

export { spkiHash } from './publicKey.ts';

/** A cluster's own certificate authority. */
export interface Authority {
  /** DER. */
  readonly certificate: Buffer;
  /** PKCS #8, DER. Kept only inside sealed records: whoever made it wipes it after use. */
  readonly privateKey: Buffer;
}

export interface CreateAuthorityOptions {
  readonly clusterId: ClusterId;
  readonly clock: Clock;
  /** For the serial number; keys come from the system's own generator. */
  readonly random: RandomSource;
}

/** A self-signed ECDSA P-256 authority that may sign leaves but no further authority, for ten years. */
export async function createAuthority({
  clusterId,
  clock,
  random,
}: CreateAuthorityOptions): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(ECDSA_P256, true, ['sign', 'verify']);
  const nowMs = clock.wallMs();
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerialNumber(random),
    name: [{ CN: [`holdfast cluster ${clusterId}`] }],
    notBefore: new Date(nowMs - LIMITS.certificateBackdateMs),
    notAfter: new Date(nowMs + LIMITS.authorityLifetimeMs),
    keys,
    signingAlgorithm: ECDSA_P256,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const privateKey = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { certificate: Buffer.from(certificate.rawData), privateKey: Buffer.from(privateKey) };
}

/** 16 random bytes as hex, positive and of full length whatever the random bits are (RFC 5280, 4.1.2.2). */
export function newSerialNumber(random: RandomSource): string {
  const bytes = random.bytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
