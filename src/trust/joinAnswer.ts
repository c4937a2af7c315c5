import type { KeyObject } from 'node:crypto';
import { asBuffer } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { type ClusterId, type NodeId, parseClusterId, parseStoreId, type StoreId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { JoinResponse } from '../proto/peer.ts';
import type { Member } from '../proto/storage.ts';
import { checkIssued } from './issuedCertificate.ts';
import { readCertificate } from './publicKey.ts';

export interface ExpectedAnswer {
  readonly nodeId: NodeId;
  /** DER; the pinned one. */
  readonly authorityCertificate: Uint8Array;
  readonly privateKey: KeyObject;
  readonly clock: Clock;
}

export interface CheckedAnswer {
  readonly clusterId: ClusterId;
  readonly storeId: StoreId;
  /** DER: all that members trust now, the pinned one among them. */
  readonly authorities: readonly Buffer[];
  readonly nodeCertificate: Buffer;
  readonly keyring: Buffer;
  readonly members: readonly Member[];
  readonly role: 'voter' | 'learner';
}

/**
 * What a cluster answered to our join, once all of it fits together and fits us.
 * @throws HoldfastError CERTIFICATE_INVALID when the certificate is not for our key and id in the cluster it names,
 *   signed by the pinned CA; INVALID_ARGUMENT for anything else that an answer never holds
 */
export function checkJoinAnswer(response: JoinResponse, expected: ExpectedAnswer): CheckedAnswer {
  const { nodeId, authorityCertificate, privateKey, clock } = expected;
  const clusterId = parseClusterId(response.clusterId);
  const storeId = parseStoreId(response.storeId);
  if (!asBuffer(authorityCertificate).equals(response.authorityCertificate)) {
    throw wrong('CERTIFICATE_INVALID', 'the CA in the answer is not the one that the token pins');
  }
  const nodeCertificate = Buffer.from(response.nodeCertificate);
  checkIssued(nodeCertificate, { clusterId, nodeId, authorities: [authorityCertificate], privateKey, clock });
  const authorities = checkAuthorities(response.trustedAuthorities, authorityCertificate);
  const { keyring, members, role } = response;
  if (keyring.length === 0 || keyring.length > LIMITS.keyringBytesMax) {
    throw wrong('INVALID_ARGUMENT', `a keyring of ${keyring.length} bytes came back`);
  }
  if (members.length === 0 || members.length > LIMITS.membersMax) {
    throw wrong('INVALID_ARGUMENT', `a list of ${members.length} members came back`);
  }
  if (role !== 'voter' && role !== 'learner') throw wrong('INVALID_ARGUMENT', 'an unknown role came back');
  return {
    clusterId,
    storeId,
    authorities,
    nodeCertificate,
    keyring: Buffer.from(keyring),
    members,
    role,
  };
}

/** The pinned CA vouches for the other one: it has signed the certificate of whoever answered. */
function checkAuthorities(given: readonly Uint8Array[], pinned: Uint8Array): readonly Buffer[] {
  const authorities = given.map((certificate) => Buffer.from(certificate));
  const hasPinned = authorities.some((certificate) => certificate.equals(pinned));
  if (!hasPinned || authorities.length > LIMITS.authoritiesMax) {
    throw wrong('CERTIFICATE_INVALID', `it names ${authorities.length} CAs that are trusted`);
  }
  for (const certificate of authorities) readCertificate(certificate);
  return authorities;
}

function wrong(code: 'CERTIFICATE_INVALID' | 'INVALID_ARGUMENT', message: string): HoldfastError {
  return new HoldfastError(code, `the cluster's answer to the join is wrong: ${message}`);
}
