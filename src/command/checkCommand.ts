import { splitAddress } from '../base/address.ts';
import { unreachable } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import type { Bootstrap, CreateToken, Member, Principal, RequestId, UseToken } from '../proto/storage.ts';
import type { CommandBody } from './body.ts';
import { checkCount, invalid, type Reason, tooLarge } from './checkKeys.ts';
import { checkTransaction } from './checkTransaction.ts';

const NODE_ID_PATTERN = /^[0-9a-f]{16}$/;
const HASH_BYTES = 32;
const ROLES: ReadonlySet<string> = new Set(['voter', 'learner']);

/** Numbers count from 1; the floor is 1 at least and not above the number. */
export function checkRequestId(request: RequestId, field = 'request'): Reason {
  const reason =
    checkCount(request.clientId, `${field}.client_id`, 1) ??
    checkCount(request.number, `${field}.number`, 1) ??
    checkCount(request.floor, `${field}.floor`, 1);
  if (reason !== null) return reason;
  if (request.floor <= request.number) return null;
  return invalid(`${field}.floor`, 'must not be above the number');
}

/** Whoever asks has a kind and a name. */
export function checkPrincipal(principal: Principal | null | undefined): Reason {
  if (principal === null || principal === undefined) return invalid('principal', 'is missing');
  return (
    checkText(principal.kind, 'principal.kind') ??
    checkText(principal.name, 'principal.name') ??
    checkAddress(principal.address, 'principal.address')
  );
}

/** The first reason why a body is not acceptable, whatever the state is. */
export function checkBody(body: CommandBody): Reason {
  switch (body.kind) {
    case 'transaction':
      return checkTransaction(body.transaction);
    case 'closeClient':
      return checkCount(body.clientId, 'client_id', 1);
    case 'compact':
      return checkCount(body.revision, 'revision', 1);
    case 'bootstrap':
      return checkBootstrap(body.bootstrap);
    case 'createToken':
      return checkCreateToken(body.createToken);
    case 'useToken':
      return checkUseToken(body.useToken);
    case 'revokeToken':
      return checkText(body.id, 'id');
    case 'registerClient':
    case 'advanceTime':
      return null;
    default:
      return unreachable(body, 'command body');
  }
}

export function checkBootstrap(bootstrap: Bootstrap): Reason {
  const { authorityCertificate, authorityPrivateKey, member } = bootstrap;
  const most = LIMITS.csrBytesMax;
  if (authorityCertificate.length === 0) return invalid('authority_certificate', 'must not be empty');
  if (authorityPrivateKey.length === 0) return invalid('authority_private_key', 'must not be empty');
  const bytes = authorityCertificate.length + authorityPrivateKey.length;
  if (bytes > most) return tooLarge('authority', { bytes, most });
  return member ? checkMember(member) : invalid('member', 'is missing');
}

export function checkMember(member: Member, field = 'member'): Reason {
  return (
    checkNodeId(member.nodeId, `${field}.node_id`) ??
    checkText(member.name, `${field}.name`) ??
    checkAddress(member.peerAddress, `${field}.peer_address`) ??
    checkAddress(member.apiAddress, `${field}.api_address`) ??
    checkRole(member.wantedRole, `${field}.wanted_role`)
  );
}

export function checkCreateToken(create: CreateToken): Reason {
  const reason =
    checkText(create.id, 'id') ??
    checkHash(create.secretHash, 'secret_hash') ??
    checkRole(create.role, 'role') ??
    checkCount(create.ttlMs, 'ttl_ms', 1);
  if (reason !== null || create.ttlMs <= LIMITS.joinTokenTtlMsMax) return reason;
  return invalid('ttl_ms', `must be at most ${LIMITS.joinTokenTtlMsMax}`);
}

export function checkUseToken(use: UseToken): Reason {
  return (
    checkText(use.id, 'id') ??
    checkHash(use.secretHash, 'secret_hash') ??
    checkNodeId(use.nodeId, 'node_id') ??
    checkHash(use.csrKeyHash, 'csr_key_hash')
  );
}

function checkText(text: string, field: string): Reason {
  if (text.length === 0) return invalid(field, 'must not be empty');
  const bytes = Buffer.byteLength(text);
  return bytes <= LIMITS.nameBytesMax ? null : tooLarge(field, { bytes, most: LIMITS.nameBytesMax });
}

/** May be empty: not known. */
function checkAddress(text: string, field: string): Reason {
  const bytes = Buffer.byteLength(text);
  if (bytes > LIMITS.addressBytesMax) return tooLarge(field, { bytes, most: LIMITS.addressBytesMax });
  return text === '' || splitAddress(text) !== null ? null : invalid(field, 'must be host:port');
}

function checkNodeId(text: string, field: string): Reason {
  return NODE_ID_PATTERN.test(text) ? null : invalid(field, 'must be 16 lower-case hex digits');
}

function checkHash(hash: Uint8Array, field: string): Reason {
  return hash.length === HASH_BYTES ? null : invalid(field, `must have ${HASH_BYTES} bytes`);
}

function checkRole(role: string, field: string): Reason {
  return ROLES.has(role) ? null : invalid(field, 'must be "voter" or "learner"');
}
