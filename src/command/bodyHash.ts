import { createHash, hash } from 'node:crypto';
import { unreachable } from '../base/assert.ts';
import type { AlertSettings, AuditRecord, AuditSettings, NoteAlerts, ValueRead } from '../proto/audit.ts';
import type { Member, Operation, Policy, Transaction } from '../proto/storage.ts';
import type { CommandBody, CommandKind } from './body.ts';
import { bytesField } from './keys.ts';

/** Part of the stored format: never renumber. */
const KIND_BYTE = {
  transaction: 1,
  registerClient: 2,
  closeClient: 3,
  compact: 4,
  bootstrap: 5,
  createToken: 6,
  useToken: 7,
  advanceTime: 8,
  revokeToken: 9,
  beginKeyChange: 10,
  confirmKeyChange: 11,
  abortKeyChange: 12,
  noteKeyChange: 13,
  rotateAuthority: 14,
  switchAuthority: 15,
  finishAuthorityRotation: 16,
  putPolicy: 17,
  deletePolicy: 18,
  createAccessToken: 19,
  revokeAccessToken: 20,
  readValues: 30,
  noteAudit: 31,
  setAuditSettings: 32,
  checkpointAudit: 33,
  setAlerts: 34,
  noteAlerts: 35,
  noteTokenUse: 36,
  createUser: 21,
  deleteUser: 22,
  setPassword: 23,
  setUserRoles: 24,
  login: 25,
  endSession: 26,
  resetAdmin: 27,
} as const satisfies Record<CommandKind, number>;
const PUT_BYTE = 1;
const DELETE_BYTE = 2;
const RANGE_BYTE = 3;
const SCRATCH_BYTES = 64 * 1024;

/**
 * SHA-256 of what a command asks for, 32 bytes: equal bodies have equal hashes on every node and release. The
 * form that is hashed is our own (every field in order, bytes and lists with their length), since the encoding of
 * protobuf is not canonical.
 */
export function bodyHash(body: CommandBody): Buffer {
  writer.begin();
  writer.count(KIND_BYTE[body.kind]);
  writeBody(body);
  return writer.digest();
}

/** Collects fields in one block of memory that is used again and again; a longer body goes through a stream. */
class HashWriter {
  readonly #scratch = Buffer.alloc(SCRATCH_BYTES);
  #length = 0;
  #overflow: ReturnType<typeof createHash> | null = null;

  begin(): void {
    this.#length = 0;
    this.#overflow = null;
  }

  /** A safe integer >= 0, 8 bytes. */
  count(value: number): void {
    this.#reserve(8);
    this.#scratch.writeUInt32BE(Math.floor(value / 0x1_0000_0000), this.#length);
    this.#scratch.writeUInt32BE(value % 0x1_0000_0000, this.#length + 4);
    this.#length += 8;
  }

  bytes(field: Uint8Array): void {
    const value = bytesField(field);
    this.count(value.length);
    if (value.length > SCRATCH_BYTES) {
      this.#spill().update(value);
      return;
    }
    this.#reserve(value.length);
    this.#scratch.set(value, this.#length);
    this.#length += value.length;
  }

  text(value: string): void {
    this.bytes(Buffer.from(value, 'utf8'));
  }

  digest(): Buffer {
    if (this.#overflow !== null) return this.#spill().digest();
    return hash('sha256', this.#scratch.subarray(0, this.#length), 'buffer');
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes > SCRATCH_BYTES) this.#spill();
  }

  #spill(): ReturnType<typeof createHash> {
    this.#overflow ??= createHash('sha256');
    this.#overflow.update(this.#scratch.subarray(0, this.#length));
    this.#length = 0;
    return this.#overflow;
  }
}

const writer = new HashWriter();

function writeBody(body: CommandBody): void {
  switch (body.kind) {
    case 'transaction':
      return writeTransaction(body.transaction);
    case 'closeClient':
      return writer.count(body.clientId);
    case 'compact':
      return writer.count(body.revision);
    case 'bootstrap':
      writer.bytes(body.bootstrap.authorityCertificate);
      writer.bytes(body.bootstrap.authorityPrivateKey);
      return writeMember(body.bootstrap.member);
    case 'createToken':
      writer.text(body.createToken.id);
      writer.bytes(body.createToken.secretHash);
      writer.text(body.createToken.role);
      return writer.count(body.createToken.ttlMs);
    case 'useToken':
      writer.text(body.useToken.id);
      writer.bytes(body.useToken.secretHash);
      writer.text(body.useToken.nodeId);
      return writer.bytes(body.useToken.csrKeyHash);
    case 'revokeToken':
    case 'abortKeyChange':
    case 'revokeAccessToken':
      return writer.text(body.id);
    case 'beginKeyChange':
      return writeTexts([body.begin.id, body.begin.kind, body.begin.encryption, body.begin.source]);
    case 'confirmKeyChange':
      return writeTexts([body.confirm.id, body.confirm.newFingerprint]);
    case 'noteKeyChange': {
      const { id, note, newFingerprint, previousFingerprint, nodeId, rewritten, remaining } = body.note;
      writeTexts([id, note, newFingerprint, previousFingerprint, nodeId]);
      writer.count(rewritten);
      return writer.count(remaining);
    }
    case 'rotateAuthority':
      writer.bytes(body.next.certificate);
      return writer.bytes(body.next.privateKey);
    case 'switchAuthority':
    case 'finishAuthorityRotation':
      writer.bytes(body.step.certificateHash);
      return writeList(body.step.confirmed);
    case 'putPolicy':
    case 'deletePolicy':
    case 'createAccessToken':
    case 'createUser':
    case 'deleteUser':
    case 'setPassword':
    case 'setUserRoles':
    case 'login':
    case 'resetAdmin':
      return writeAccess(body);
    case 'readValues':
    case 'noteAudit':
    case 'setAuditSettings':
    case 'checkpointAudit':
    case 'setAlerts':
    case 'noteAlerts':
      return writeAudit(body);
    case 'noteTokenUse':
      return writeTexts([body.use.id, body.use.address]);
    case 'registerClient':
    case 'advanceTime':
    case 'endSession':
      return undefined;
    default:
      return unreachable(body, 'command body');
  }
}

type AccessBody = Extract<
  CommandBody,
  {
    kind:
      | 'putPolicy'
      | 'deletePolicy'
      | 'createAccessToken'
      | 'createUser'
      | 'deleteUser'
      | 'setPassword'
      | 'setUserRoles'
      | 'login'
      | 'resetAdmin';
  }
>;

function writeAccess(body: AccessBody): void {
  switch (body.kind) {
    case 'putPolicy':
      return writePolicy(body.policy);
    case 'deletePolicy':
      return writer.text(body.role);
    case 'createAccessToken': {
      const { id, secretHash, description, roles, ttlMs } = body.create;
      writeTexts([id, description]);
      writer.bytes(secretHash);
      writeList(roles);
      return writer.count(ttlMs);
    }
    case 'createUser':
      writeTexts([body.create.name, body.create.passwordHash]);
      return writeList(body.create.roles);
    case 'deleteUser':
      return writer.text(body.name);
    case 'setPassword':
      writeTexts([body.set.name, body.set.passwordHash]);
      return writer.count(body.set.shownGeneration);
    case 'setUserRoles':
      writer.text(body.set.name);
      return writeList(body.set.roles);
    case 'login':
      return writer.text(body.login.passwordHash);
    case 'resetAdmin':
      return writeTexts([body.reset.id, body.reset.passwordHash]);
    default:
      return unreachable(body, 'change of access');
  }
}

type AuditBody = Extract<
  CommandBody,
  {
    kind: 'readValues' | 'noteAudit' | 'setAuditSettings' | 'checkpointAudit' | 'setAlerts' | 'noteAlerts';
  }
>;

function writeAudit(body: AuditBody): void {
  switch (body.kind) {
    case 'readValues':
      return writeReads(body.reads);
    case 'noteAudit':
      return writeAuditRecords(body.records);
    case 'setAuditSettings':
      writeSettings(body.settings);
      writer.count(body.expected === null ? 0 : 1);
      return body.expected === null ? undefined : writeSettings(body.expected);
    case 'checkpointAudit':
      writer.count(body.checkpoint.sequence);
      writer.bytes(body.checkpoint.hash);
      writer.count(body.checkpoint.timeMs);
      return writer.bytes(body.checkpoint.signature);
    case 'setAlerts':
      return writeAlerts(body.alerts);
    case 'noteAlerts':
      writeCursor(body.note.before);
      writeCursor(body.note.after);
      return writeAuditRecords(body.note.alerts);
    default:
      return unreachable(body, 'command of the audit');
  }
}

function writeSettings({ reads, retentionMs }: AuditSettings): void {
  writeList(reads);
  writer.count(retentionMs);
}

function writeAlerts({ rules, webhook }: AlertSettings): void {
  writer.count(rules.length);
  for (const rule of rules) {
    writeTexts([rule.name, rule.kind, rule.resource, rule.timeZone, rule.by]);
    for (const number of [rule.fromMinute, rule.toMinute, rule.days, rule.count, rule.withinMs])
      writer.count(number);
  }
  writer.count(webhook ? 1 : 0);
  if (!webhook) return;
  writer.text(webhook.url);
  writer.bytes(webhook.secret);
}

function writeCursor(cursor: NoteAlerts['before']): void {
  writer.count(cursor?.evaluated ?? 0);
  writer.count(cursor?.delivered ?? 0);
}

function writeAuditRecords(records: readonly AuditRecord[]): void {
  writer.count(records.length);
  for (const record of records) writeAuditRecord(record);
}

function writeReads(reads: readonly ValueRead[]): void {
  writer.count(reads.length);
  for (const { range, revision, limit, from, history } of reads) {
    writeRange(range);
    writer.count(revision);
    writer.count(limit);
    writer.bytes(from);
    writer.count(Number(history));
  }
}

function writeAuditRecord(record: AuditRecord): void {
  const { principalKind, principal, session, address, node, action, result, requestId, detail } = record;
  writeTexts([principalKind, principal, session, address, node, action, result, requestId, detail]);
  writer.bytes(record.resource);
  writer.bytes(record.resourceEnd);
  writer.count(record.revision);
  writer.count(record.count);
}

function writePolicy({ role, rules, admin }: Policy): void {
  writer.text(role);
  writer.count(rules.length);
  for (const { path, capabilities } of rules) {
    writer.text(path);
    writeList(capabilities);
  }
  writeList(admin);
}

/** As many as there are. */
function writeList(texts: readonly string[]): void {
  writer.count(texts.length);
  writeTexts(texts);
}

/** A number of them that the kind says. */
function writeTexts(texts: readonly string[]): void {
  for (const text of texts) writer.text(text);
}

function writeMember(member: Member | null | undefined): void {
  writer.count(member ? 1 : 0);
  if (!member) return;
  writeTexts([member.nodeId, member.name, member.peerAddress, member.apiAddress, member.wantedRole]);
}

function writeTransaction({ compares, success, failure }: Transaction): void {
  writer.count(compares.length);
  for (const compare of compares) {
    writer.bytes(compare.key);
    writer.count(compare.relation);
    writer.count(compare.target);
    writer.bytes(compare.value);
    writer.count(compare.number);
  }
  writeOperations(success);
  writeOperations(failure);
}

function writeOperations(operations: readonly Operation[]): void {
  writer.count(operations.length);
  for (const { put, delete: deletion, range } of operations) {
    if (put) {
      writer.count(PUT_BYTE);
      writer.bytes(put.key);
      writer.bytes(put.value);
      writer.count(Number(put.previous));
    } else if (deletion) {
      writer.count(DELETE_BYTE);
      writeRange(deletion.range);
      writer.count(Number(deletion.previous));
    } else if (range) {
      writer.count(RANGE_BYTE);
      writeRange(range.range);
      writer.count(range.limit);
      writer.count(Number(range.keysOnly) * 2 + Number(range.countOnly));
    }
  }
}

function writeRange(
  range: { readonly start: Uint8Array; readonly end: Uint8Array } | null | undefined,
): void {
  writer.count(range ? 1 : 0);
  if (!range) return;
  writer.bytes(range.start);
  writer.bytes(range.end);
}
