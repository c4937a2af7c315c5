import type { Clock } from './clock.ts';
import { LIMITS } from './limits.ts';

/**
 * For log lines that somebody else can cause: says of a key, at most once in LIMITS.rareLineIntervalMs, that its line is
 * due. Remembers LIMITS.rareLineKeysMax keys.
 */
export class RareLines {
  /** When a key was due last; the oldest first. */
  readonly #dueMs = new Map<string, number>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isDue(key: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    const isRecent = (dueMs: number | undefined): boolean =>
      dueMs !== undefined && nowMs - dueMs < LIMITS.rareLineIntervalMs;
    if (isRecent(this.#dueMs.get(key))) return false;
    this.#dueMs.delete(key);
    if (this.#dueMs.size >= LIMITS.rareLineKeysMax) {
      const [oldest] = this.#dueMs;
      // Silence rather than a flood, when there are so many keys within one interval.
      if (oldest === undefined || isRecent(oldest[1])) return false;
      this.#dueMs.delete(oldest[0]);
    }
    this.#dueMs.set(key, nowMs);
    return true;
  }
}
