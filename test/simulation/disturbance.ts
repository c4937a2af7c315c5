import { stableLeader } from './convergence.ts';
import { TICK_MS } from './machine.ts';
import type { Driver, Run } from './simulation.ts';
import { SimulationFailure } from './world.ts';

/**
 * The last part of some runs. I38: of a cluster that is well, one node that is not needed is cut off, wholly or in one
 * direction, and comes back: neither the term nor the leader of the others changes. A leader that was asked before to
 * hand over may do so meanwhile, of course.
 */
export async function disturbance(run: Run, driver: Driver): Promise<void> {
  const { world, network, observer } = run;
  const timeoutMs = world.knobs.electionTicksMax * TICK_MS;
  const { handovers } = observer.counts;
  // A handover that is under way comes to its end, or is given up by its leader.
  await wait(run, driver, 3 * timeoutMs);
  const leader = stableLeader(run);
  if (leader === null) throw new SimulationFailure('I37: a leader was lost after everything was healed');
  const { term, configuration } = leader.status;
  const others = [...world.machines.keys()].filter((nodeId) => nodeId !== leader.machine.nodeId);
  const victim = world.chances.faults.pick(others);
  const needed = configuration.voters.length < 3;
  if (victim === undefined || (needed && configuration.voters.includes(victim))) return;
  const way = world.chances.faults.pick(['both', 'in', 'out'] as const);
  for (const other of world.machines.keys()) {
    if (other === victim) continue;
    if (way !== 'out') network.cut(other, victim);
    if (way !== 'in') network.cut(victim, other);
  }
  await wait(run, driver, 3 * timeoutMs);
  network.mend();
  await wait(run, driver, 2 * timeoutMs);
  if (observer.counts.handovers > handovers) return;
  const now = leader.machine.running?.log.status();
  world.check(
    now?.role === 'leader' && now.term === term,
    () => `I38: ${victim} was cut off (${way}) and came back, and the leader of term ${term} is gone`,
  );
}

async function wait(run: Run, driver: Driver, ms: number): Promise<void> {
  const endMs = run.world.timeMs + ms;
  while (run.world.timeMs < endMs) await driver.step();
}
