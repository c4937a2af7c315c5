/** Where a chain begins once its oldest records are no longer kept, signed by the cluster's CA. */
import { createPrivateKey, sign, verify, X509Certificate } from 'node:crypto';
import { asBuffer, joinBytes, writeU64 } from '../../base/bytes.ts';
import type { AuditCheckpoint } from '../../proto/audit.ts';

const LABEL = Buffer.from('holdfast audit checkpoint 1', 'latin1');

type Signed = Omit<AuditCheckpoint, 'signature'>;

/** The label, then sequence and time as u64, big-endian, then the hash. */
function signedBytes({ sequence, timeMs, hash }: Signed): Buffer {
  const numbers = Buffer.alloc(16);
  writeU64(numbers, sequence, 0);
  writeU64(numbers, timeMs, 8);
  return joinBytes([LABEL, numbers, hash]);
}

/** ECDSA with SHA-256, DER. @param privateKey PKCS #8, of the cluster's CA */
export function signCheckpoint(checkpoint: Signed, privateKey: Uint8Array): Buffer {
  const key = createPrivateKey({ key: asBuffer(privateKey), format: 'der', type: 'pkcs8' });
  return sign('sha256', signedBytes(checkpoint), key);
}

/** @param certificate DER, of the cluster's CA */
export function isSignedBy(checkpoint: AuditCheckpoint, certificate: Uint8Array): boolean {
  const { publicKey } = new X509Certificate(certificate);
  return verify('sha256', signedBytes(checkpoint), publicKey, checkpoint.signature);
}
