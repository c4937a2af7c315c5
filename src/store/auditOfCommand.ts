import { ANOTHER_ADDRESS, type AuditAction, DENIALS } from '../audit/record/actions.ts';
import { present, unreachable } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import { textWithin } from '../base/textWithin.ts';
import type { CommandBody } from '../command/body.ts';
import { bytesField, bytesFromKey, keyFromBytes } from '../command/keys.ts';
import { type AuditRecord, type AuditSettings, type ValueRead } from '../proto/audit.ts';
import type { Command, Outcome, Transaction } from '../proto/storage.ts';
import type { NoteTokenUse } from '../proto/users.ts';
import type { NewAddress } from './access.ts';
import { alertsText, policyText } from './auditDetails.ts';
import { auditOfCompares, auditOfTransaction, readingOf, resourceOf } from './auditOfTransaction.ts';
import type { AuditChange } from './changeAudit.ts';
import type { AppliedEntry } from './types.ts';

/** What a record says beside who, where and what became of it. */
export interface Deed {
  readonly action: AuditAction;
  readonly resource: Uint8Array;
  /** Not empty: `resource` is where a range of names begins. */
  readonly resourceEnd?: Uint8Array;
  readonly revision?: number;
  readonly count?: number;
  readonly detail?: string;
  /** Where it is not that of the whole command. */
  readonly result?: string;
}

/** A command, and what it came to. */
export interface AppliedCommand {
  readonly command: Command;
  readonly body: CommandBody;
  readonly outcome: Outcome;
  /** It was neither refused as it stands nor answered from memory: what it came to tells of the state. */
  readonly isExecuted: boolean;
}

const NOTHING = Buffer.alloc(0);

/**
 * What an applied command leaves in the audit trail, in order: never a value. A repeated request that was answered from memory
 * did nothing, and leaves nothing.
 * @param isAudited whether to hand out the value of a name (latin-1) leaves a record
 */
export function auditOfCommand(
  applied: AppliedCommand,
  isAudited: (name: string) => boolean,
): readonly AuditRecord[] {
  const { command, body, outcome } = applied;
  if (outcome.replayed || !command.principal || !isRecorded(body, outcome)) return [];
  const whole = recordOf(command, outcome);
  if (!outcome.failure) {
    const records = notesOf(body);
    if (records !== null) return records.map((record) => noted(record, whole.node));
  }
  return deedsOf(applied, isAudited).map((deed) => recordOfDeed(deed, whole));
}

/** What an entry leaves that is no command: members that come, change or go, and keys that come into force or go. */
export function auditOfEntry(entry: AppliedEntry, isAccepted: boolean): readonly AuditRecord[] {
  switch (entry.kind) {
    case 'configuration': {
      const { member, removed } = entry;
      const changed = member ? [ofCluster('member.change', member.nodeId, member.wantedRole)] : [];
      return [
        ...changed,
        ...removed.toSorted().map((nodeId) => ofCluster('member.change', nodeId, 'removed')),
      ];
    }
    case 'keyring': {
      if (!isAccepted) return [];
      const action = entry.step.step === 'retire' ? 'keys.retire' : 'keys.activate';
      return [ofCluster(action, entry.step.changeId, '')];
    }
    case 'commands':
    case 'nothing':
      return [];
    default:
      return unreachable(entry, 'applied entry');
  }
}

/** A token was used from where it was not used before. */
export function auditOfTokenUse(
  { id, address }: NoteTokenUse,
  { use, nodeId }: { readonly use: NewAddress; readonly nodeId: string },
): AuditRecord {
  const principal = { kind: 'token', name: id, address };
  const record = recordOf({ origin: '', sequence: 0, principal }, { replayed: false });
  const detail = use === 'first' ? 'first use' : ANOTHER_ADDRESS;
  return { ...record, node: nodeId, action: 'token.new-address', resource: text(id), detail };
}

function ofCluster(action: AuditAction, resource: string, detail: string): AuditRecord {
  const command = { origin: '', sequence: 0, principal: { kind: 'node', name: 'cluster', address: '' } };
  return { ...recordOf(command, { replayed: false }), action, resource: text(resource), detail };
}

function recordOf({ principal, origin, request }: Command, { failure }: Outcome): AuditRecord {
  const { kind = '', name = '', address = '', session = '' } = principal ?? {};
  return {
    principalKind: kind,
    principal: name,
    session,
    address,
    node: origin.slice(0, Math.max(origin.indexOf('/'), 0)),
    action: '',
    resource: NOTHING,
    resourceEnd: NOTHING,
    result: failure?.code ?? 'OK',
    requestId: request ? `${request.clientId}.${request.number}` : '',
    revision: 0,
    count: 1,
    detail: '',
  };
}

/** Written out: there is one for each audited read, and a copy of two objects costs ten times as much. */
function recordOfDeed(
  { action, resource, resourceEnd, revision, count, detail, result }: Deed,
  { principalKind, principal, session, address, node, requestId, result: whole }: AuditRecord,
): AuditRecord {
  return {
    principalKind,
    principal,
    session,
    address,
    node,
    action,
    resource,
    resourceEnd: resourceEnd ?? NOTHING,
    result: result ?? whole,
    requestId,
    revision: revision ?? 0,
    count: count ?? 1,
    detail: textWithin(detail ?? '', LIMITS.auditTextBytesMax),
  };
}

/** What a node tells of what it has denied or found; null: it is no such command. */
function notesOf(body: CommandBody): readonly AuditRecord[] | null {
  if (body.kind === 'noteAudit') return body.records;
  return body.kind === 'noteAlerts' ? body.note.alerts : null;
}

/** As the node says that it was; which node that is, it has no say in. */
function noted(record: AuditRecord, node: string): AuditRecord {
  const { principalKind, principal, session, address, requestId } = record;
  const { action, result, revision, count, detail } = record;
  const [resource, resourceEnd] = [bytesField(record.resource), bytesField(record.resourceEnd)];
  const who = { principalKind, principal, session, address, node };
  return { ...who, action, resource, resourceEnd, result, requestId, revision, count, detail };
}

function deedsOf(
  { body, outcome, isExecuted }: AppliedCommand,
  isAudited: (name: string) => boolean,
): readonly Deed[] {
  if (body.kind === 'readValues') return auditOfReads(body.reads, outcome);
  if (body.kind !== 'transaction') return [describe(body) ?? []].flat();
  const { transaction, failure } = outcome;
  if (transaction) return auditOfTransaction(body.transaction, transaction, isAudited);
  if (failure && !DENIALS.has(failure.code))
    return isExecuted ? auditOfCompares(body.transaction, isAudited) : [];
  const detail = failure?.field ?? '';
  return [{ action: 'kv.transaction', resource: bytesFromKey(firstName(body.transaction)), detail }];
}

/**
 * What was refused changed nothing; but who was denied something, or may not join, is asked about later, and which of its branches
 * was refused tells what a transaction's compares came to.
 */
function isRecorded({ kind }: CommandBody, { failure }: Outcome): boolean {
  return !failure || DENIALS.has(failure.code) || kind === 'useToken' || kind === 'transaction';
}

/** Null: it does nothing that anybody asks about later. */
function describe(body: Exclude<CommandBody, { kind: 'transaction' | 'readValues' }>): Deed | null {
  switch (body.kind) {
    case 'registerClient':
    case 'closeClient':
    case 'advanceTime':
    // What is new about it is recorded as the token's.
    case 'noteTokenUse':
      return null;
    case 'noteAudit':
    case 'noteAlerts':
    case 'setAuditSettings':
    case 'setAlerts':
    case 'checkpointAudit':
      return describeAudit(body);
    case 'compact':
      return { action: 'kv.compact', resource: NOTHING, revision: body.revision };
    case 'bootstrap':
      return { action: 'cluster.init', resource: text(body.bootstrap.member?.nodeId ?? '') };
    case 'createToken':
      return {
        action: 'join-token.create',
        resource: text(body.createToken.id),
        detail: body.createToken.role,
      };
    case 'useToken':
      return { action: 'member.join', resource: text(body.useToken.nodeId), detail: body.useToken.id };
    case 'revokeToken':
      return { action: 'join-token.revoke', resource: text(body.id) };
    case 'beginKeyChange':
      return { action: 'keys.begin', resource: text(body.begin.id), detail: body.begin.kind };
    case 'confirmKeyChange':
      return { action: 'keys.confirm', resource: text(body.confirm.id) };
    case 'abortKeyChange':
      return { action: 'keys.abort', resource: text(body.id) };
    case 'noteKeyChange':
      // How far each member is counts many times over, and changes nothing by itself.
      if (body.note.note === 'counted') return null;
      return {
        action: 'keys.note',
        resource: text(body.note.id),
        detail: `${body.note.note} ${body.note.nodeId}`.trim(),
      };
    case 'rotateAuthority':
      return { action: 'authority.rotate', resource: NOTHING };
    case 'switchAuthority':
      return { action: 'authority.switch', resource: NOTHING };
    case 'finishAuthorityRotation':
      return { action: 'authority.finish', resource: NOTHING };
    case 'putPolicy':
      return { action: 'policy.put', resource: text(body.policy.role), detail: policyText(body.policy) };
    case 'deletePolicy':
      return { action: 'policy.delete', resource: text(body.role) };
    case 'createAccessToken':
      return { action: 'token.create', resource: text(body.create.id), detail: body.create.roles.join(' ') };
    case 'revokeAccessToken':
      return { action: 'token.revoke', resource: text(body.id) };
    case 'createUser':
    case 'deleteUser':
    case 'setPassword':
    case 'setUserRoles':
    case 'login':
    case 'endSession':
    case 'resetAdmin':
      return describeUser(body);
    default:
      return unreachable(body, 'command body');
  }
}

function describeAudit(body: AuditChange): Deed {
  switch (body.kind) {
    case 'noteAudit':
    case 'noteAlerts':
      return { action: 'access.denied', resource: NOTHING, detail: body.kind };
    case 'setAuditSettings':
      return { action: 'audit.settings', resource: NOTHING, detail: settingsText(body.settings) };
    case 'setAlerts':
      return { action: 'audit.alerts', resource: NOTHING, detail: alertsText(body.alerts) };
    case 'checkpointAudit':
      return { action: 'audit.checkpoint', resource: text(`${body.checkpoint.sequence}`) };
    default:
      return unreachable(body, 'change of the audit');
  }
}

type UserBody = Extract<
  CommandBody,
  {
    kind:
      | 'createUser'
      | 'deleteUser'
      | 'setPassword'
      | 'setUserRoles'
      | 'login'
      | 'endSession'
      | 'resetAdmin';
  }
>;

function describeUser(body: UserBody): Deed {
  switch (body.kind) {
    case 'createUser':
      return { action: 'user.create', resource: text(body.create.name), detail: body.create.roles.join(' ') };
    case 'deleteUser':
      return { action: 'user.delete', resource: text(body.name) };
    case 'setPassword':
      return { action: 'user.set-password', resource: text(body.set.name) };
    case 'setUserRoles':
      return { action: 'user.set-roles', resource: text(body.set.name), detail: body.set.roles.join(' ') };
    case 'login':
      return { action: 'access.login', resource: NOTHING };
    case 'endSession':
      return { action: 'access.logout', resource: NOTHING };
    case 'resetAdmin':
      return { action: 'user.reset', resource: text('admin'), detail: body.reset.id };
    default:
      return unreachable(body, 'command about a user');
  }
}

/** Each value that may be delivered, and each read that was denied: by itself, or with all when the asker is nobody any more. */
function auditOfReads(reads: readonly ValueRead[], { read, failure: ofAll }: Outcome): readonly Deed[] {
  const deeds: Deed[] = [];
  for (const [at, { range, history }] of reads.entries()) {
    const outcome = read?.reads[at];
    const failure = outcome?.failure ?? ofAll;
    const detail = history ? 'history' : '';
    if (failure) {
      if (!DENIALS.has(failure.code)) continue;
      const asked = resourceOf(range);
      const action = readingOf(keyFromBytes(asked.resource));
      deeds.push({ action, ...asked, detail, result: failure.code });
      continue;
    }
    const { revision, names } = present(outcome, 'outcome of a read');
    for (const name of names)
      deeds.push({ action: readingOf(keyFromBytes(name)), resource: bytesField(name), revision, detail });
  }
  return deeds;
}

const settingsText = ({ reads, retentionMs }: AuditSettings): string =>
  `retention ${retentionMs === 0 ? 'for ever' : `${retentionMs} ms`}, reads ${reads.join(' ')}`;

/** Of what was denied: the first name that it is about, latin-1. */
export function firstName({ compares, success, failure }: Transaction): string {
  const [operation] = [...success, ...failure];
  const { put, delete: deletion, range } = operation ?? {};
  const name = put?.key ?? deletion?.range?.start ?? range?.range?.start ?? compares[0]?.key;
  return name === undefined ? '' : keyFromBytes(name);
}

const text = (value: string): Buffer => Buffer.from(value, 'utf8');
