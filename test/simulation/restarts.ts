import type { HardState } from '../../src/replication/raft/types.ts';
import type { LogModel } from './observedWal.ts';
import type { Seen } from './seen.ts';

/** I1: what no term and vote may become; null when they may. */
export function hardStateProblem({ before, after }: { before: HardState; after: HardState }): string | null {
  if (after.term < before.term) return 'stored an earlier term';
  const changed = after.term === before.term && before.vote !== null && after.vote !== before.vote;
  return changed ? `changed its vote in term ${after.term}` : null;
}

/**
 * I26: what a start finds is what was durable, and perhaps some of the writes that were under way, in their order.
 * What is wrong, or null.
 */
export function lossOf({ before, found }: { before: Seen; found: LogModel }): string | null {
  const due = before.durable.copy();
  for (const batch of [null, ...before.pending]) {
    if (batch !== null) due.apply(batch);
    if (found.endsAs(due)) return null;
  }
  return `finds a log that ends at ${found.lastIndex}, and ${before.durable.lastIndex} was durable`;
}
