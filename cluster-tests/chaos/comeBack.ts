import { waitFor } from '../faultProxy/waitFor.ts';
import type { HoldfastTarget } from './holdfastTarget.ts';
import type { World } from './target.ts';

/** How long a damaged node may take to find it out, be rebuilt from the others, or end itself. */
const REBUILT_WITHIN_MS = 30_000;
/** What may be on its way while clients write. */
const BEHIND_ENTRIES_MAX = 1_000;

/**
 * Waits until it holds what the leader holds, and its log is believed. One that ended itself over its damage, or is too
 * late, is replaced by its operator: out, and in again as a new member.
 */
export async function comeBack(
  world: World<HoldfastTarget>,
  name: string,
): Promise<'back' | 'ended' | 'late'> {
  let outcome: 'ended' | 'late' = 'late';
  for (
    const deadlineMs = performance.now() + REBUILT_WITHIN_MS;
    performance.now() < deadlineMs;
    await waitFor(500)
  ) {
    if (!world.target.isRunning(name)) {
      outcome = 'ended';
      break;
    }
    const statuses = await world.target.statuses();
    const own = statuses.find((status) => status.name === name);
    const leader = statuses.find((status) => status.role === 'leader');
    if (own === undefined || leader === undefined || own.log?.suspect !== false) continue;
    if (own.appliedIndex + BEHIND_ENTRIES_MAX > leader.appliedIndex) return 'back';
  }
  await world.target.replace(name, (text) => world.violation(text));
  return outcome;
}
