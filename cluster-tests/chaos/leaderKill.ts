import { waitFor } from '../faultProxy/waitFor.ts';
import { until } from '../until.ts';
import { RecoveryProbe } from './recovery.ts';
import type { FaultRecord } from './scheduler.ts';
import { SeededChoice } from './seededChoice.ts';
import type { Target } from './target.ts';

const LEADER_WITHIN_MS = 30_000;
const RECOVER_WITHIN_MS = 30_000;
const LEVEL_MS = 1_500;

/** Kills the leader again and again while clients write and read, and takes the time until both work again. */
export async function killLeaders(options: {
  readonly target: Target;
  readonly rounds: number;
  readonly seed: number;
  readonly note: (text: string) => void;
}): Promise<{ readonly records: readonly FaultRecord[]; readonly operations: number }> {
  const { target, rounds, note } = options;
  const random = new SeededChoice(options.seed);
  const records: FaultRecord[] = [];
  const probe = new RecoveryProbe(target.prober());
  try {
    for (let round = 1; round <= rounds; round += 1) {
      // A process that runs may be starting still: then this would be the time that it takes, not an election's.
      await until(LEADER_WITHIN_MS, 'all nodes, and a leader whom all follow', () => target.isWhole());
      // Time for the one that came back to catch up, and not the same every time.
      await waitFor(LEVEL_MS + random.integer(0, 1_000));
      const leader = await target.leader();
      if (leader === undefined) continue;
      const killedMs = performance.now();
      const killedAt = new Date();
      await target.kill(leader);
      const afterMs = await probe.recovered(killedMs, RECOVER_WITHIN_MS);
      note(
        `round ${round}: ${leader} killed at ${killedAt.getTime()}, writes and reads again after ${Math.round(afterMs ?? Number.NaN)} ms`,
      );
      target.start(leader);
      records.push({
        kind: 'kill leader',
        what: leader,
        struck: true,
        injectedMs: killedMs,
        healedMs: null,
        afterInjectMs: afterMs,
        afterHealMs: null,
      });
    }
  } finally {
    await probe.stop();
  }
  return { records, operations: probe.attempts };
}
