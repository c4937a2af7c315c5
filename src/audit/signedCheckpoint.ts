/** The checkpoint that a chain goes on from, as an export carries it, and whether a CA has signed it. */
import { authorityFingerprint } from '../base/authorityFingerprint.ts';
import { asBuffer } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import type { KeptCheckpoint } from '../proto/audit.ts';
import { isSignedBy } from './record/checkpoint.ts';

/** In the first line of an export: the time as RFC 3339, the hash in hex, signature and certificate (DER) in base64. */
export interface ExportedCheckpoint {
  readonly sequence: number;
  readonly time: string;
  readonly hash: string;
  readonly signature: string;
  readonly certificate: string;
}

export function exportedCheckpoint(checkpoint: KeptCheckpoint): ExportedCheckpoint {
  const { sequence, timeMs, hash, signature, certificate } = checkpoint;
  return {
    sequence,
    time: new Date(timeMs).toISOString(),
    hash: asBuffer(hash).toString('hex'),
    signature: asBuffer(signature).toString('base64'),
    certificate: asBuffer(certificate).toString('base64'),
  };
}

/** Null: a field is missing, or is none. */
export function checkpointOf(json: unknown): KeptCheckpoint | null {
  if (typeof json !== 'object' || json === null) return null;
  const { sequence, time, hash, signature, certificate } = json as Record<string, unknown>;
  const timeMs = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  const isWhole =
    Number.isSafeInteger(sequence) &&
    (sequence as number) > 0 &&
    Number.isSafeInteger(timeMs) &&
    timeMs >= 0 &&
    typeof hash === 'string' &&
    typeof signature === 'string' &&
    typeof certificate === 'string';
  if (!isWhole) return null;
  return {
    sequence: sequence as number,
    timeMs,
    hash: Buffer.from(hash, 'hex'),
    signature: Buffer.from(signature, 'base64'),
    certificate: Buffer.from(certificate, 'base64'),
  };
}

/** Whether the CA has signed it whose certificate is beside it; somebody has to know that CA. */
export function isSignedByItsAuthority(checkpoint: KeptCheckpoint): boolean {
  try {
    return isSignedBy(checkpoint, checkpoint.certificate);
  } catch {
    // The certificate is none, or its key is of another kind.
    return false;
  }
}

/**
 * The fingerprint of the CA that is beside a checkpoint.
 * @param wanted of the only CA that is taken; null: any
 * @throws HoldfastError CERTIFICATE_INVALID
 */
export function authorityOf({ certificate, sequence }: KeptCheckpoint, wanted: string | null): string {
  const fingerprint = authorityFingerprint(certificate);
  if (wanted === null || wanted === fingerprint) return fingerprint;
  throw new HoldfastError(
    'CERTIFICATE_INVALID',
    `the checkpoint at record ${sequence} is of another CA: ${fingerprint}`,
    {
      field: 'ca-fingerprint',
      hint: 'the CA may have been replaced since: compare with the fingerprints of former ones that you have noted',
    },
  );
}
