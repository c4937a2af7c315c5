import type { Fault } from './knobs.ts';
import type { SeedOrder, SeedReport } from './worker.ts';

/** The smallest run found that fails for the same reason. */
export interface Shrunk {
  readonly order: SeedOrder;
  readonly report: SeedReport;
}

type RunOne = (order: SeedOrder) => Promise<SeedReport>;

/** Failures are of one kind when they name the same invariant. */
export function kindOf(message: string): string {
  return message.split(':')[0] ?? message;
}

/**
 * Leaves out one kind of fault after another, takes fewer voters and fewer steps, as long as it still fails so.
 * Streams of draws are separate, so what is left happens much as before.
 */
export async function shrink(first: Shrunk, run: RunOne): Promise<Shrunk> {
  let best = first;
  const kind = kindOf(first.report.failure?.message ?? '');
  const accept = async (order: SeedOrder): Promise<void> => {
    const report = await run(order);
    if (report.failure !== null && kindOf(report.failure.message) === kind) best = { order, report };
  };
  for (const fault of first.report.faults) {
    await accept({ ...best.order, without: [...(best.order.without ?? []), fault as Fault] });
  }
  for (let voters = 1; voters < first.report.voters; voters += 1) {
    if (best.report.voters > voters) await accept({ ...best.order, voters });
  }
  const step = best.report.failure?.step ?? 0;
  if (step > 0 && step < best.order.steps) await accept({ ...best.order, steps: step });
  return best;
}
