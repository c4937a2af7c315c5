import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { systemErrorCode } from '../../base/errors.ts';
import { renewalDueMs } from '../../trust/certificates.ts';
import type { DataDirectory } from '../dataDirectory.ts';
import { type Finding, failure, ok, warning } from './finding.ts';

/** The node's own certificate, which lies in the clear in the data directory. */
export async function checkNodeCertificate(directory: DataDirectory, clock: Clock): Promise<Finding> {
  const path = join(directory.root, 'trust', 'node.pem');
  const mend = 'holdfast server renews it in time; if it is past its end, remove the node and join it anew';
  try {
    return checkCertificate(await readFile(path, 'utf8'), { check: 'certificate', whose: path, mend, clock });
  } catch (thrown) {
    const code = systemErrorCode(thrown) ?? 'unknown';
    return failure('certificate', `${path} cannot be read (${code})`, 'put it back from a copy');
  }
}

/** Whether a certificate (PEM; of several, the first) is valid now and for a while yet. */
export function checkCertificate(
  pem: string,
  { check, whose, mend, clock }: { check: string; whose: string; mend: string; clock: Clock },
): Finding {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    return failure(check, `${whose} holds no certificate`, mend);
  }
  const nowMs = clock.wallMs();
  const end = new Date(Date.parse(certificate.validTo)).toISOString();
  const begin = new Date(Date.parse(certificate.validFrom)).toISOString();
  if (nowMs > Date.parse(certificate.validTo)) return failure(check, `${whose} expired at ${end}`, mend);
  if (nowMs < Date.parse(certificate.validFrom)) {
    return failure(
      check,
      `${whose} is valid only from ${begin}`,
      'set the clock of this machine: timedatectl',
    );
  }
  if (nowMs > renewalDueMs(certificate.raw)) return warning(check, `${whose} ends soon, at ${end}`, mend);
  return ok(check, `${whose} is valid until ${end}`);
}
