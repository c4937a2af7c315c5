import { Coverage } from './coverage.ts';
import type { Fault } from './knobs.ts';
import { simulate } from './simulation.ts';

/** What the parent asks for. */
export interface SeedOrder {
  readonly seed: number;
  readonly steps: number;
  readonly without?: readonly Fault[];
  readonly voters?: number;
}

/** What it is told. */
export interface SeedReport {
  readonly seed: number;
  readonly steps: number;
  readonly simulatedMs: number;
  readonly failure: { readonly message: string; readonly step: number } | null;
  readonly faults: readonly string[];
  readonly voters: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly coverage: readonly (readonly [string, number])[];
}

/** Runs what it is sent, one run after another, until the parent lets go. */
async function run(order: SeedOrder): Promise<SeedReport> {
  const coverage = new Coverage();
  const { seed, steps, simulatedMs, failure, knobs, counts } = await simulate({ ...order, coverage });
  const { faults, voters } = knobs;
  return {
    seed,
    steps,
    simulatedMs,
    failure,
    counts,
    voters,
    faults: [...faults],
    coverage: [...coverage.counts],
  };
}

process.on('message', (order: SeedOrder) => {
  void run(order).then((report) => process.send?.(report));
});
