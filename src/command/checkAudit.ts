/** Checks of what concerns the audit, whatever the state is. */
import { AUDIT_ACTIONS } from '../audit/record/actions.ts';
import { LIMITS } from '../base/limits.ts';
import {
  type AuditCheckpoint,
  type AuditRecord,
  type AuditSettings,
  type ValueRead,
} from '../proto/audit.ts';

import { checkCount, checkRange, invalid, type Reason, tooLarge } from './checkKeys.ts';

const HASH_BYTES = 32;
const ACTIONS: ReadonlySet<string> = new Set(AUDIT_ACTIONS);

export function checkReadValues(reads: readonly ValueRead[]): Reason {
  if (reads.length === 0 || reads.length > LIMITS.valueReadsMax)
    return invalid('reads', `must be 1 to ${LIMITS.valueReadsMax}`);
  return first(reads, ({ range, revision, limit, from }) => {
    const most = LIMITS.keyBytesMax + 1;
    if (from.length > most) return tooLarge('from', { bytes: from.length, most });
    if (limit > LIMITS.pageKeysMax) return invalid('limit', `must be at most ${LIMITS.pageKeysMax}`);
    return checkRange(range) ?? checkCount(revision, 'revision') ?? checkCount(limit, 'limit');
  });
}

/** What a node tells the audit. */
export function checkNotes(records: readonly AuditRecord[], field = 'records'): Reason {
  if (records.length === 0 || records.length > LIMITS.auditNotesMax)
    return invalid(field, `must be 1 to ${LIMITS.auditNotesMax}`);
  return first(records, checkNote);
}

function checkNote(record: AuditRecord): Reason {
  const { principalKind, principal, session, address, node, action, result, requestId, detail } = record;
  if (!ACTIONS.has(action)) return invalid('action', 'is not one of the known actions');
  const most = LIMITS.auditTextBytesMax;
  for (const text of [principalKind, principal, session, address, node, result, requestId, detail]) {
    const bytes = Buffer.byteLength(text);
    if (bytes > most) return tooLarge('records', { bytes, most });
  }
  const bytes = Math.max(record.resource.length, record.resourceEnd.length);
  if (bytes > LIMITS.keyBytesMax + 1) return tooLarge('resource', { bytes, most: LIMITS.keyBytesMax + 1 });
  return checkCount(record.revision, 'revision') ?? checkCount(record.count, 'count', 1);
}

export function checkAuditSettings({ reads, retentionMs }: AuditSettings): Reason {
  if (reads.length > LIMITS.auditReadPatternsMax)
    return invalid('reads', `must be at most ${LIMITS.auditReadPatternsMax} patterns`);
  if (retentionMs > LIMITS.auditRetentionMsMax)
    return invalid(
      'retention_ms',
      `must be at most ${LIMITS.auditRetentionMsMax}`,
      'Give 0 to keep all for ever.',
    );
  if (retentionMs > 0 && retentionMs < LIMITS.auditRetentionMsMin)
    return invalid(
      'retention_ms',
      `must be at least ${LIMITS.auditRetentionMsMin}, a day`,
      'Give 0 to keep all for ever.',
    );
  return checkCount(retentionMs, 'retention_ms');
}

export function checkAuditCheckpoint({ sequence, hash, timeMs, signature }: AuditCheckpoint): Reason {
  if (hash.length !== HASH_BYTES) return invalid('hash', `must have ${HASH_BYTES} bytes`);
  if (signature.length === 0 || signature.length > LIMITS.auditSignatureBytesMax)
    return invalid('signature', `must have 1 to ${LIMITS.auditSignatureBytesMax} bytes`);
  return checkCount(sequence, 'sequence', 1) ?? checkCount(timeMs, 'time_ms');
}

function first<T>(list: readonly T[], check: (item: T) => Reason): Reason {
  for (const item of list) {
    const reason = check(item);
    if (reason !== null) return reason;
  }
  return null;
}
