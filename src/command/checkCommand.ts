import { splitAddress } from '../base/address.ts';
import { unreachable } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import type {
  BeginKeyChange,
  Bootstrap,
  CreateToken,
  Member,
  NoteKeyChange,
  Principal,
  RequestId,
  RotateAuthority,
  RotationStep,
  UseToken,
} from '../proto/storage.ts';
import type { CommandBody } from './body.ts';
import {
  checkAccessTokenId,
  checkCreateAccessToken,
  checkCreateUser,
  checkPasswordHash,
  checkPolicy,
  checkResetAdmin,
  checkRole,
  checkRoles,
  checkSetPassword,
  checkUserName,
  isSessionId,
} from './checkAccess.ts';
import { checkAlerts, checkNoteAlerts } from './checkAlerts.ts';
import { checkAuditCheckpoint, checkAuditSettings, checkNotes, checkReadValues } from './checkAudit.ts';
import { checkCount, invalid, type Reason, tooLarge } from './checkKeys.ts';
import { checkTransaction } from './checkTransaction.ts';

const NODE_ID_PATTERN = /^[0-9a-f]{16}$/;
const HASH_BYTES = 32;
const FINGERPRINT_PATTERN = /^sha256:[0-9a-f]{64}$/;
const ROLES: ReadonlySet<string> = new Set(['voter', 'learner']);
/** Where the new secret may come from. */
const SOURCES: ReadonlyMap<string, readonly string[]> = new Map([
  ['rekey', ['file', 'environment']],
  ['jwt', ['file']],
]);
const KEY_CHANGES: ReadonlySet<string> = new Set(['rekey', 'rotate', 'rewrap', 'encryption', 'jwt']);

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
    checkAddress(principal.address, 'principal.address') ??
    checkSession(principal)
  );
}

function checkSession({ generation = 0, session = '' }: Principal): Reason {
  if (session !== '' && !isSessionId(session))
    return invalid('principal.session', 'must be 16 lower-case hex digits');
  return checkCount(generation, 'principal.generation', 0);
}

type AuditBody = Extract<
  CommandBody,
  {
    kind: 'readValues' | 'noteAudit' | 'setAuditSettings' | 'checkpointAudit' | 'setAlerts' | 'noteAlerts';
  }
>;

function checkAuditBody(body: AuditBody): Reason {
  switch (body.kind) {
    case 'readValues':
      return checkReadValues(body.reads);
    case 'noteAudit':
      return checkNotes(body.records);
    case 'setAuditSettings':
      return checkAuditSettings(body.settings) ?? (body.expected && checkAuditSettings(body.expected));
    case 'checkpointAudit':
      return checkAuditCheckpoint(body.checkpoint);
    case 'setAlerts':
      return checkAlerts(body.alerts);
    case 'noteAlerts':
      return checkNoteAlerts(body.note);
    default:
      return unreachable(body, 'command of the audit');
  }
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
    case 'abortKeyChange':
      return checkText(body.id, 'id');
    case 'beginKeyChange':
      return checkBeginKeyChange(body.begin);
    case 'confirmKeyChange':
      return (
        checkText(body.confirm.id, 'id') ?? checkFingerprint(body.confirm.newFingerprint, 'new_fingerprint')
      );
    case 'noteKeyChange':
      return checkNoteKeyChange(body.note);
    case 'rotateAuthority':
      return checkAuthority(body.next);
    case 'switchAuthority':
    case 'finishAuthorityRotation':
      return checkRotationStep(body.step);
    case 'putPolicy':
      return checkPolicy(body.policy);
    case 'deletePolicy':
      return checkRole(body.role, 'role');
    case 'createAccessToken':
      return checkCreateAccessToken(body.create);
    case 'revokeAccessToken':
      return checkAccessTokenId(body.id);
    case 'readValues':
    case 'noteAudit':
    case 'setAuditSettings':
    case 'checkpointAudit':
    case 'setAlerts':
    case 'noteAlerts':
      return checkAuditBody(body);
    case 'noteTokenUse':
      return checkAccessTokenId(body.use.id) ?? checkText(body.use.address, 'address');
    case 'createUser':
      return checkCreateUser(body.create);
    case 'deleteUser':
      return checkUserName(body.name);
    case 'setPassword':
      return checkSetPassword(body.set);
    case 'setUserRoles':
      return checkUserName(body.set.name) ?? checkRoles(body.set.roles);
    case 'login':
      return body.login.passwordHash === '' ? null : checkPasswordHash(body.login.passwordHash);
    case 'resetAdmin':
      return checkResetAdmin(body.reset);
    case 'registerClient':
    case 'advanceTime':
    case 'endSession':
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
    checkMemberRole(member.wantedRole, `${field}.wanted_role`)
  );
}

function checkAuthority({ certificate, privateKey }: RotateAuthority): Reason {
  if (certificate.length === 0) return invalid('certificate', 'must not be empty');
  if (privateKey.length === 0) return invalid('private_key', 'must not be empty');
  const bytes = certificate.length + privateKey.length;
  const most = LIMITS.csrBytesMax;
  return bytes > most ? tooLarge('authority', { bytes, most }) : null;
}

function checkRotationStep({ certificateHash, confirmed }: RotationStep): Reason {
  const reason = checkHash(certificateHash, 'certificate_hash');
  if (reason !== null) return reason;
  if (confirmed.length > LIMITS.membersMax)
    return invalid('confirmed', `must be at most ${LIMITS.membersMax} members`);
  for (const nodeId of confirmed) {
    const wrong = checkNodeId(nodeId, 'confirmed');
    if (wrong !== null) return wrong;
  }
  return null;
}

export function checkCreateToken(create: CreateToken): Reason {
  const reason =
    checkText(create.id, 'id') ??
    checkHash(create.secretHash, 'secret_hash') ??
    checkMemberRole(create.role, 'role') ??
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

export function checkBeginKeyChange({ id, kind, encryption, source }: BeginKeyChange): Reason {
  const reason = checkText(id, 'id');
  if (reason !== null) return reason;
  if (!KEY_CHANGES.has(kind)) return invalid('kind', 'must be rekey, rotate, rewrap, encryption or jwt');
  return (
    checkOneOf(encryption, { field: 'encryption', of: kind === 'encryption' ? ['on', 'off'] : [''] }) ??
    checkOneOf(source, { field: 'source', of: SOURCES.get(kind) ?? [''] })
  );
}

function checkOneOf(text: string, { field, of }: { field: string; of: readonly string[] }): Reason {
  return of.includes(text) ? null : invalid(field, `must be ${of.join(' or ') || 'empty'}`);
}

export function checkNoteKeyChange(note: NoteKeyChange): Reason {
  const { rewritten, remaining } = note;
  const reason =
    checkText(note.id, 'id') ??
    checkCount(rewritten, 'rewritten', 0) ??
    checkCount(remaining, 'remaining', 0);
  if (reason !== null) return reason;
  switch (note.note) {
    case 'prepared':
      return (
        checkFingerprint(note.newFingerprint, 'new_fingerprint') ??
        checkFingerprint(note.previousFingerprint, 'previous_fingerprint')
      );
    case 'proved':
      return checkNodeId(note.nodeId, 'node_id') ?? checkFingerprint(note.newFingerprint, 'new_fingerprint');
    case 'counted':
      return checkNodeId(note.nodeId, 'node_id');
    default:
      return invalid('note', 'must be prepared, proved or counted');
  }
}

function checkFingerprint(text: string, field: string): Reason {
  if (FINGERPRINT_PATTERN.test(text)) return null;
  return invalid(field, 'must be sha256: and 64 lower-case hex digits');
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

function checkMemberRole(role: string, field: string): Reason {
  return ROLES.has(role) ? null : invalid(field, 'must be "voter" or "learner"');
}
