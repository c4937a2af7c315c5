import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';

/** Between two looks: of the time that was waited already so small a part, since each look costs every node something. */
const POLL_PART = 20;
const POLL_MS_MIN = 100;
const POLL_MS_MAX = 1_000;

/**
 * Waits until `holds` says so; what it throws meanwhile counts as "not yet".
 * @throws HoldfastError DEADLINE_EXCEEDED with the last reason, CANCELLED when interrupted
 */
export async function until(
  { withinMs, what, interrupted }: { withinMs: number; what: string; interrupted: AbortSignal },
  holds: () => Promise<boolean>,
): Promise<void> {
  const startMs = systemClock.monotonicMs();
  const waitedMs = (): number => systemClock.monotonicMs() - startMs;
  let reason = '';
  while (waitedMs() < withinMs) {
    if (interrupted.aborted) throw new HoldfastError('CANCELLED', 'interrupted');
    try {
      if (await holds()) return;
      reason = '';
    } catch (thrown) {
      reason = `: ${toHoldfastError(thrown).message}`;
    }
    const pollMs = Math.min(Math.max(waitedMs() / POLL_PART, POLL_MS_MIN), POLL_MS_MAX);
    // An interruption ends the rest of the pause; the next look says so.
    await delay(pollMs, undefined, { signal: interrupted }).catch(() => undefined);
  }
  throw new HoldfastError('DEADLINE_EXCEEDED', `${what} not seen within ${withinMs} ms${reason}`);
}
