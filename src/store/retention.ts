import { LIMITS } from '../base/limits.ts';
import type { FormerRetention } from '../proto/audit.ts';

/** How long records are kept, milliseconds; 0: for ever. */
export interface Retention {
  readonly retentionMs: number;
  /** What they were kept for until it was shortened; null: nothing longer is in force. */
  readonly former: FormerRetention | null;
}

/** How long records are kept at this log time, milliseconds; 0: for ever. */
export function retentionAt({ retentionMs, former }: Retention, timeMs: number): number {
  return former === null || timeMs >= former.untilMs ? retentionMs : longest(retentionMs, former.retentionMs);
}

/**
 * What is in force beside a new retention. Invariant I57: a shorter one comes into force only LIMITS.auditShorteningDelayMs after it
 * was set, and nothing brings that forward, so that whoever administers the audit cannot have it forget what he does before others
 * can see it. A longer one is in force at once.
 */
export function formerRetention(
  present: Retention,
  { retentionMs, timeMs }: { readonly retentionMs: number; readonly timeMs: number },
): FormerRetention | null {
  if (retentionMs === present.retentionMs) return present.former;
  const inForceMs = retentionAt(present, timeMs);
  if (longest(retentionMs, inForceMs) === retentionMs) return null;
  return { retentionMs: inForceMs, untilMs: timeMs + LIMITS.auditShorteningDelayMs };
}

function longest(oneMs: number, otherMs: number): number {
  return oneMs === 0 || otherMs === 0 ? 0 : Math.max(oneMs, otherMs);
}
