import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 50;

/** What a load leaves between two of its requests; never a wait for something to happen. */
export const pause = (ms: number): Promise<void> => delay(ms);

/** Waits for a condition with a deadline; what the condition throws meanwhile counts as "not yet". */
export async function until(
  withinMs: number,
  what: string | (() => string),
  holds: () => Promise<boolean> | boolean,
): Promise<void> {
  const deadlineMs = performance.now() + withinMs;
  let reason = '';
  while (performance.now() < deadlineMs) {
    try {
      if (await holds()) return;
      reason = '';
    } catch (thrown) {
      reason = ` (${thrown instanceof Error ? thrown.message : String(thrown)})`;
    }
    await delay(POLL_MS);
  }
  throw new Error(`not within ${withinMs} ms: ${typeof what === 'string' ? what : what()}${reason}`);
}
