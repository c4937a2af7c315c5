import type { MemberStatus, StatusResponse } from '../client/index.ts';
import { timeText } from './value.ts';

/**
 * A member in JSON. Field by field: a decoded message turns itself into the JSON of protobuf, which writes 64-bit
 * numbers as texts and leaves out what has its default.
 */
export function memberFields(member: MemberStatus): object {
  const { nodeId, name, role, leader, apiAddress, peerAddress, matchIndex, reachable } = member;
  return { nodeId, name, role, leader, apiAddress, peerAddress, matchIndex, reachable };
}

/** What a node says of itself, in JSON. */
export function statusFields(status: StatusResponse): object {
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
    keys: status.keys,
    watches: status.watches,
    digest: status.digest,
    encryption: status.encryption,
    controlKeyFingerprint: status.controlKeyFingerprint,
    logTime: timeText(status.logTimeMs),
    wallTime: timeText(status.wallTimeMs),
    uptimeMs: status.uptimeMs,
    members: status.members.map(memberFields),
    warnings: status.warnings,
  };
}
