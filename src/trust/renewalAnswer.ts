import { asBuffer } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import type { RenewResponse } from '../proto/peer.ts';
import { checkIssued, type ExpectedCertificate } from './issuedCertificate.ts';
import { readCertificate } from './publicKey.ts';
import { missingHosts } from './renewalDue.ts';

export interface ExpectedRenewal extends ExpectedCertificate {
  /** All that were asked for. */
  readonly hosts: readonly string[];
}

/**
 * The certificate (DER) that the leader answered our Renew with, once it fits us.
 * @throws HoldfastError CERTIFICATE_INVALID when it is not for our key and id, by the CA we trust, with all our hosts
 */
export function checkRenewalAnswer(response: RenewResponse, expected: ExpectedRenewal): Buffer {
  const certificate = Buffer.from(response.certificate);
  const signer = expected.authorities.find((trusted) =>
    asBuffer(trusted).equals(response.authorityCertificate),
  );
  if (signer === undefined) throw wrong('the CA in it is not one that this node trusts');
  checkIssued(certificate, { ...expected, authorities: [signer] });
  const missing = missingHosts(readCertificate(certificate), expected.hosts);
  if (missing.length > 0) throw wrong(`the certificate in it lacks ${missing.join(', ')}`);
  return certificate;
}

function wrong(what: string): HoldfastError {
  return new HoldfastError('CERTIFICATE_INVALID', `the cluster's answer is wrong: ${what}`);
}
