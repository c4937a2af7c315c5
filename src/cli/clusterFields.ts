import { printable } from '../base/printable.ts';
import type { FencedMember, JoinTokenStatus, MemberStatus, StatusResponse } from '../client/index.ts';
import { timeText } from './value.ts';

/**
 * A member in JSON. Field by field: a decoded message turns itself into the JSON of protobuf, which writes 64-bit
 * numbers as texts and leaves out what has its default.
 */
export function memberFields(member: MemberStatus): object {
  const { nodeId, name, role, leader, apiAddress, peerAddress, matchIndex, reachable } = member;
  const { suspect = false } = member;
  return { nodeId, name, role, leader, apiAddress, peerAddress, matchIndex, reachable, suspect };
}

/** A join token in JSON. */
export function tokenFields(token: JoinTokenStatus): object {
  const { id, role, createdMs, expiresMs, expired, usedBy, usedByName } = token;
  const created = createdMs === 0 ? '' : timeText(createdMs);
  return { id, role, created, expires: timeText(expiresMs), expired, usedBy, usedByName };
}

/** Whether a part of a status is left out, as the asker does not administer what it is about. */
export function isWithheld({ withheld = [] }: StatusResponse, part: 'cluster' | 'keys' | 'audit'): boolean {
  return withheld.includes(part);
}

/** What a node says of itself, in JSON. Null is what the asker is not told. */
export function statusFields(status: StatusResponse): object {
  return {
    ...openFields(status),
    ...(isWithheld(status, 'cluster') ? allNull(clusterOnlyFields(status)) : clusterOnlyFields(status)),
    ...(isWithheld(status, 'keys') ? allNull(keysOnlyFields(status)) : keysOnlyFields(status)),
    auditSink: auditSinkFields(status),
    members: status.members.map(memberFields),
    warnings: status.warnings.map(printable),
    withheld: [...(status.withheld ?? [])],
  };
}

function allNull(fields: object): object {
  return Object.fromEntries(Object.keys(fields).map((name) => [name, null]));
}

function openFields(status: StatusResponse): object {
  return {
    name: status.name,
    nodeId: status.nodeId,
    clusterId: status.clusterId,
    version: status.version,
    role: status.role,
    leader: status.leader,
    term: status.term,
    commitIndex: status.commitIndex,
    appliedIndex: status.appliedIndex,
    durableIndex: status.durableIndex,
    revision: status.revision,
    compactedRevision: status.compactedRevision,
    state: status.state ?? '',
  };
}

function keysOnlyFields(status: StatusResponse): object {
  return {
    encryption: status.encryption,
    controlKeyFingerprint: status.controlKeyFingerprint,
    jwtSecretFingerprint: status.jwtSecretFingerprint ?? '',
  };
}

function clusterOnlyFields(status: StatusResponse): object {
  return {
    keys: status.keys,
    watches: status.watches,
    digest: status.digest,
    logTime: timeText(status.logTimeMs),
    wallTime: timeText(status.wallTimeMs),
    uptimeMs: status.uptimeMs,
    disk: diskFields(status),
    scrub: scrubFields(status),
    log: logFields(status),
    fenced: (status.fenced ?? []).map(fencedFields),
  };
}

function fencedFields({ nodeId, name, code, reason, hint, sinceMs }: FencedMember): object {
  return { nodeId, name, code, reason: printable(reason), hint: printable(hint), since: timeText(sinceMs) };
}

function diskFields({ disk }: StatusResponse): object | null {
  if (!disk) return null;
  const { reserveBytes, freeBytes, low } = disk;
  return { reserveBytes, freeBytes, low };
}

function logFields({ log }: StatusResponse): object | null {
  if (!log) return null;
  const { lastIndex, lastHash, suspect, suspectUntil } = log;
  return { lastIndex, lastHash, suspect, suspectUntil };
}

/** Null until a first pass has come to its end. */
function scrubFields({ scrub }: StatusResponse): object | null {
  if (!scrub || scrub.finishedMs === 0) return null;
  const { finishedMs, durationMs, rows, logSegments, bytes } = scrub;
  return { finished: timeText(finishedMs), durationMs, rows, logSegments, bytes };
}

/** Null where none is set, and for who does not administer the audit. */
function auditSinkFields({ auditSink }: StatusResponse): object | null {
  if (!auditSink) return null;
  const { kind, host, deliveredSequence, behind, lost, failingSinceMs, errorCode, error } = auditSink;
  const failingSince = failingSinceMs === 0 ? '' : timeText(failingSinceMs);
  return { kind, host, deliveredSequence, behind, lost, failingSince, errorCode, error: printable(error) };
}

/** How far the audit sink of a node is, for people; null where none is set. */
export function auditSinkLine({ name, auditSink }: StatusResponse): string | null {
  if (!auditSink) return null;
  const { kind, host, deliveredSequence, behind, failingSinceMs } = auditSink;
  const where = host === '' ? kind : `${kind} ${host}`;
  const how = failingSinceMs === 0 ? '' : `, failing since ${timeText(failingSinceMs)}`;
  return printable(
    `${name}: audit sink ${where}, delivered up to record ${deliveredSequence}, ${behind} behind${how}`,
  );
}
