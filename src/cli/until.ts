import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';

const POLL_MS = 100;

/**
 * Waits until `holds` says so; what it throws meanwhile counts as "not yet".
 * @throws HoldfastError DEADLINE_EXCEEDED with the last reason, CANCELLED when interrupted
 */
export async function until(
  { withinMs, what, interrupted }: { withinMs: number; what: string; interrupted: AbortSignal },
  holds: () => Promise<boolean>,
): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + withinMs;
  let reason = '';
  while (systemClock.monotonicMs() < deadlineMs) {
    if (interrupted.aborted) throw new HoldfastError('CANCELLED', 'interrupted');
    try {
      if (await holds()) return;
      reason = '';
    } catch (thrown) {
      reason = `: ${toHoldfastError(thrown).message}`;
    }
    await delay(POLL_MS);
  }
  throw new HoldfastError('DEADLINE_EXCEEDED', `${what} not seen within ${withinMs} ms${reason}`);
}
