import { Histogram } from './histogram.ts';

export interface LoadShape {
  readonly inFlight: number;
  readonly warmUpMs: number;
  readonly durationMs: number;
}

export interface LoadResult {
  readonly operations: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly failures: number;
}

/** A closed loop: `inFlight` callers, each sends its next operation when the last one is answered. */
export async function runLoad(
  operation: (sequence: number) => Promise<unknown>,
  { inFlight, warmUpMs, durationMs }: LoadShape,
): Promise<LoadResult> {
  const histogram = new Histogram();
  const startMs = performance.now() + warmUpMs;
  const endMs = startMs + durationMs;
  let sequence = 0;
  let failures = 0;
  const caller = async (): Promise<void> => {
    for (;;) {
      const sentMs = performance.now();
      if (sentMs >= endMs) return;
      sequence += 1;
      try {
        await operation(sequence);
      } catch (thrown) {
        failures += 1;
        if (failures > 100) throw thrown;
        continue;
      }
      const doneMs = performance.now();
      if (sentMs >= startMs && doneMs <= endMs) histogram.record(doneMs - sentMs);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  return {
    operations: histogram.count,
    perSecond: histogram.count / (durationMs / 1_000),
    p50Ms: histogram.quantileMs(0.5),
    p99Ms: histogram.quantileMs(0.99),
    failures,
  };
}
