import { waitFor } from '../faultProxy/waitFor.ts';
import type { Prober } from './target.ts';

const PROBE_EVERY_MS = 40;
const PROBE_TIMEOUT_MS = 4_000;
const UNDER_WAY_MAX = 100;

interface Success {
  readonly startedMs: number;
  readonly endedMs: number;
}

/** Writes and reads all the time, so that it can be said how long after a moment both worked again. */
export class RecoveryProbe {
  readonly #successes = { write: [] as Success[], read: [] as Success[] };
  readonly #over = new AbortController();
  readonly #loops: Promise<void>[] = [];
  readonly #prober: Prober;
  #attempts = 0;

  constructor(prober: Prober) {
    this.#prober = prober;
    for (const what of ['write', 'read'] as const) this.#loops.push(this.#run(what));
  }

  get attempts(): number {
    return this.#attempts;
  }

  /** Until a write and a read that began after `atMs` had both succeeded; null: they never did. */
  recoveredAfterMs(atMs: number): number | null {
    const ends = [this.#successes.write, this.#successes.read].map((list) => {
      let first = Number.POSITIVE_INFINITY;
      for (const { startedMs, endedMs } of list) if (startedMs >= atMs && endedMs < first) first = endedMs;
      return first;
    });
    const lastMs = Math.max(...ends);
    return Number.isFinite(lastMs) ? lastMs - atMs : null;
  }

  /** Resolves when a write and a read that began after `atMs` have succeeded. */
  async recovered(atMs: number, withinMs: number): Promise<number | null> {
    const deadlineMs = performance.now() + withinMs;
    let found = this.recoveredAfterMs(atMs);
    while (found === null && performance.now() < deadlineMs) {
      await waitFor(10);
      found = this.recoveredAfterMs(atMs);
    }
    return found;
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#loops);
    await this.#prober.close();
  }

  async #run(what: 'write' | 'read'): Promise<void> {
    const underWay = new Set<Promise<void>>();
    while (!this.#over.signal.aborted) {
      if (underWay.size < UNDER_WAY_MAX) {
        const attempt = this.#attempt(what).finally(() => underWay.delete(attempt));
        underWay.add(attempt);
      }
      await waitFor(PROBE_EVERY_MS, this.#over.signal);
    }
    await Promise.all(underWay);
  }

  async #attempt(what: 'write' | 'read'): Promise<void> {
    const startedMs = performance.now();
    this.#attempts += 1;
    try {
      await this.#prober[what](PROBE_TIMEOUT_MS);
      this.#successes[what].push({ startedMs, endedMs: performance.now() });
    } catch {
      // A failed probe says nothing but that it has not succeeded.
    }
  }
}

/** The value that so many percent are not above. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}
