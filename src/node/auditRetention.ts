import { signCheckpoint } from '../audit/record/checkpoint.ts';
import { LIMITS } from '../base/limits.ts';
import type { AuditCheckpoint } from '../proto/audit.ts';
import type { AuditView } from '../store/auditTrail.ts';
import { retentionAt } from '../store/retention.ts';

/** Records are kept a little longer than they must be, so that not each of them takes a checkpoint of its own. */
const LONGER = 1.05;

export interface RetentionView {
  readonly audit: AuditView;
  /** That of the next entry: in an idle cluster none comes by itself, so that log time stands still. */
  readonly stampMs: number;
  /** Null before the bootstrap. */
  readonly authority: { readonly privateKey: Uint8Array } | null;
}

/** The checkpoint that takes away what need not be kept any more, signed by the cluster's CA; null: nothing is due. */
export function dueCheckpoint({ audit, stampMs, authority }: RetentionView): AuditCheckpoint | null {
  const { rows, rules } = audit;
  const retentionMs = retentionAt(rules.retention, stampMs);
  if (authority === null || retentionMs === 0 || rows.length < 2) return null;
  if (rows.at(0).timeMs + retentionMs * LONGER > stampMs) return null;
  // What is as old as that still counts as old enough where the checkpoint is applied.
  const old = rows.positionFrom(stampMs - retentionMs);
  const position = Math.min(old, rows.length - 1, LIMITS.auditPruneRowsMax);
  if (position < 1) return null;
  const { number, previousHash: hash } = rows.at(position);
  const unsigned = { sequence: number - 1, hash, timeMs: rows.at(position - 1).timeMs };
  return { ...unsigned, signature: signCheckpoint(unsigned, authority.privateKey) };
}
