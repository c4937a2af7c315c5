import { parseAddress } from '../base/address.ts';
import { HoldfastError } from '../base/errors.ts';
import { type NodeId, parseNodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { ENCRYPTION_TOGGLES } from '../envelope/keyring.ts';
import type { JoinRequest } from '../proto/peer.ts';
import { checkHosts } from './certificateNames.ts';
import { checkFingerprints } from './checkFingerprints.ts';
import { JOIN_FORMAT, joinFormatUnsupported } from './joinFormat.ts';
import { PROOF_NONCE_BYTES } from './proof.ts';

export interface CheckedRequest {
  readonly nodeId: NodeId;
  /** By which others reach the joiner. */
  readonly hosts: readonly string[];
}

/** What a stranger asks, before anything is done about it. @throws HoldfastError VERSION_UNSUPPORTED, INVALID_ARGUMENT */
export function checkJoinRequest(request: JoinRequest): CheckedRequest {
  const { format, tokenId, name } = request;
  if (format !== JOIN_FORMAT) throw joinFormatUnsupported({ cluster: JOIN_FORMAT, node: format });
  if (!/^[0-9a-f]{16}$/.test(tokenId)) throw invalid('token_id', 'must be 16 lower-case hex digits');
  if (request.tokenSecret.length !== 32) throw invalid('token_secret', 'must have 32 bytes');
  if (request.nonce.length !== PROOF_NONCE_BYTES)
    throw invalid('nonce', `must have ${PROOF_NONCE_BYTES} bytes`);
  checkTerms(request);
  const nodeId = parseNodeId(request.nodeId);
  if (name.length === 0 || Buffer.byteLength(name) > LIMITS.nameBytesMax) {
    throw invalid('name', `must have 1 to ${LIMITS.nameBytesMax} bytes`);
  }
  if (/\p{Cc}/u.test(name)) throw invalid('name', 'must have no control characters');
  const peer = parseAddress(request.peerAddress, 'peer_address');
  const api = parseAddress(request.apiAddress, 'api_address');
  const hosts = [...new Set([peer.host, api.host, ...request.hosts])];
  checkHosts(hosts);
  return { nodeId, hosts };
}

function checkTerms(request: JoinRequest): void {
  const { controlKeyFingerprints, jwtSecretFingerprints, encryption } = request;
  checkFingerprints(controlKeyFingerprints, 'control_key_fingerprints');
  checkFingerprints(jwtSecretFingerprints, 'jwt_secret_fingerprints');
  if (encryption !== '' && !ENCRYPTION_TOGGLES.some((toggle) => toggle === encryption))
    throw invalid('encryption', 'must be on, off or empty');
}

function invalid(field: string, rule: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `${field} ${rule}`, { field });
}
