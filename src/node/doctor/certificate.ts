import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { systemErrorCode } from '../../base/errors.ts';
import { renewalDueMs } from '../../trust/renewalDue.ts';
import type { DataDirectory } from '../dataDirectory.ts';
import { SET_CLOCK } from './clock.ts';
import { type Finding, failure, ok, warning } from './finding.ts';

/** The node's own certificate, which lies in the clear in the data directory. */
export async function checkNodeCertificate(
  directory: DataDirectory,
  { name, clock }: { readonly name: string; readonly clock: Clock },
): Promise<Finding> {
  const path = join(directory.root, 'trust', 'node.pem');
  try {
    const certificate = await readFile(path, 'utf8');
    return checkCertificate(certificate, { check: 'certificate', whose: path, ...nodeMends(name), clock });
  } catch (thrown) {
    const code = systemErrorCode(thrown) ?? 'unknown';
    return failure('certificate', `${path} cannot be read (${code})`, `install -m 0644 COPY '${path}'`);
  }
}

/** A node that runs has its certificate renewed; one whose certificate has ended is nobody to the others. */
export function nodeMends(name: string): Mends {
  return { mendEnding: 'holdfast server', mendEnded: `holdfast member remove ${name}` };
}

export interface Mends {
  readonly mendEnding: string;
  readonly mendEnded: string;
}

export interface CertificateSubject extends Mends {
  readonly check: string;
  readonly whose: string;
  readonly clock: Clock;
}

/** Whether a certificate (PEM, of several the first; or DER) is valid now, and for a third of its lifetime yet. */
export function checkCertificate(
  bytes: string | Buffer,
  { check, whose, mendEnding, mendEnded, clock }: CertificateSubject,
): Finding {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(bytes);
  } catch {
    return failure(check, `${whose} holds no certificate`, mendEnded);
  }
  const nowMs = clock.wallMs();
  const end = new Date(Date.parse(certificate.validTo)).toISOString();
  const begin = new Date(Date.parse(certificate.validFrom)).toISOString();
  if (nowMs > Date.parse(certificate.validTo)) return failure(check, `${whose} expired at ${end}`, mendEnded);
  if (nowMs < Date.parse(certificate.validFrom)) {
    return failure(check, `${whose} is valid only from ${begin}`, SET_CLOCK);
  }
  if (nowMs > renewalDueMs(certificate.raw)) {
    return warning(check, `${whose} ends at ${end}: less than a third of its lifetime is left`, mendEnding);
  }
  return ok(check, `${whose} is valid until ${end}`);
}
