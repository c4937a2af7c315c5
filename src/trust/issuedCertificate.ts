import { createPublicKey, type KeyObject } from 'node:crypto';
import { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { type IdentityContext, nodeIdentity } from './identity.ts';
import { readCertificate } from './publicKey.ts';

export interface ExpectedCertificate extends IdentityContext {
  readonly nodeId: NodeId;
  readonly privateKey: KeyObject;
}

/**
 * That a certificate (DER) which the cluster has answered with is this node's: for its id and key, from its CA.
 * @throws HoldfastError CERTIFICATE_INVALID
 */
export function checkIssued(certificate: Buffer, expected: ExpectedCertificate): void {
  const { nodeId, privateKey } = expected;
  const certified = nodeIdentity(certificate, expected);
  if (certified !== nodeId) throw wrong(`is for node ${certified}, and this is node ${nodeId}`);
  if (!readCertificate(certificate).publicKey.equals(createPublicKey(privateKey))) {
    throw wrong('is for another key than the one in our request');
  }
}

function wrong(what: string): HoldfastError {
  return new HoldfastError(
    'CERTIFICATE_INVALID',
    `the cluster's answer is wrong: the certificate in it ${what}`,
  );
}
