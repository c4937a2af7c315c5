import { LIMITS } from '../../src/base/limits.ts';
import { isMember, membersOf } from '../../src/replication/raft/configuration.ts';
import type { RaftStatus } from '../../src/replication/raft/types.ts';
import { type Machine, TICK_MS } from './machine.ts';
import type { Driver, Run } from './simulation.ts';

/** Simulated time for each part of the recovery, in longest election timeouts. */
const RECOVERY_TIMEOUTS = 60;

/**
 * The second part of a run: the network is whole, the disks answer, everyone is switched on. I37: a leader is found,
 * something new is committed, and all members come to the same state. I39: nobody stays in a probe, a snapshot or a
 * joint configuration. I40: who is no member does not lead.
 */
export async function convergence(run: Run, driver: Driver): Promise<void> {
  const { world, network } = run;
  world.faulty = false;
  network.mend();
  for (const machine of world.machines.values()) heal(machine);
  const withinMs = RECOVERY_TIMEOUTS * world.knobs.electionTicksMax * TICK_MS + LIMITS.stateGatherMs * 10;
  await driver.until(() => stableLeader(run) !== null, {
    withinMs,
    what: () => `I37: no leader after everything was healed: ${describeAll(run)}`,
  });
  await newWrite(run, driver, withinMs);
  // With windows of a few entries a member could chase snapshots for as long as others write.
  run.workload.stop();
  await driver.until(() => isConverged(run), {
    withinMs,
    what: () => `I37, I39: the members do not come together: ${describeAll(run)}`,
  });
}

function heal(machine: Machine): void {
  machine.diskFactor = 1;
  machine.diskHungUntilMs = 0;
  machine.failNextWrite = false;
  machine.resume();
  machine.start();
}

function statusOf(machine: Machine): RaftStatus | null {
  if (machine.running === null) machine.start();
  return machine.running?.log.status() ?? null;
}

/** The leader that its own configuration counts, when a quorum follows it. */
export function stableLeader({ world }: Run): { machine: Machine; status: RaftStatus } | null {
  const up = [...world.machines.values()].flatMap((machine) => {
    const status = statusOf(machine);
    return status === null ? [] : [{ machine, status }];
  });
  const leader = up
    .filter(({ status }) => status.role === 'leader')
    .toSorted((one, other) => other.status.term - one.status.term)[0];
  if (leader === undefined) return null;
  const { voters, votersOutgoing } = leader.status.configuration;
  const follows = (nodeId: string): boolean =>
    up.some(({ machine, status }) => machine.nodeId === nodeId && status.term === leader.status.term);
  for (const set of [voters, votersOutgoing]) {
    if (set.length > 0 && set.filter(follows).length * 2 <= set.length) return null;
  }
  return leader;
}

/** Something new is committed and answered, whoever leads by then. */
async function newWrite(run: Run, driver: Driver, withinMs: number): Promise<void> {
  const { world, workload } = run;
  let done = false;
  let askedMs = Number.NEGATIVE_INFINITY;
  await driver.until(
    () => {
      if (done || world.timeMs < askedMs + 500) return done;
      const leader = stableLeader(run);
      if (leader === null) return false;
      askedMs = world.timeMs;
      workload.write(leader.machine, workload.plainWrite(), (outcomes) => {
        if (outcomes !== null) done = true;
      });
      return false;
    },
    { withinMs, what: () => `I37: nothing new is committed: ${describeAll(run)}` },
  );
}

function isConverged(run: Run): boolean {
  const leader = stableLeader(run);
  if (leader === null) return false;
  const { status } = leader;
  if (status.configuration.votersOutgoing.length > 0 || !isMember(status.configuration, status.nodeId))
    return false;
  if (status.progress.some(({ state }) => state !== 'replicate')) return false;
  return membersOf(status.configuration).every((nodeId) => {
    const machine = run.world.machines.get(nodeId);
    const running = machine?.running;
    if (running === null || running === undefined) return false;
    // What hung when everything was healed still hangs until it returns.
    if (running.wal.pendingWriteMs() > 0) return false;
    const { applied } = running.log.status();
    const digest = run.observer.history.digestAt(applied);
    return (
      applied >= run.observer.history.maxAnswered &&
      applied >= status.commit - 5 &&
      (digest === null || digest === running.store.digest.toString('latin1'))
    );
  });
}

function describeAll({ world }: Run): string {
  return [...world.machines.values()]
    .map((machine) => {
      const status = machine.running?.log.status();
      const id = machine.nodeId.slice(-2);
      if (status === undefined) return `${id} down`;
      const { role, term, commit, applied, firstIndex, lastIndex, configuration, progress } = status;
      const peers = progress.map((one) => `${one.nodeId.slice(-2)}:${one.state}:${one.match}`).join(',');
      const voters = configuration.voters.map((one) => one.slice(-2)).join('');
      const outgoing = configuration.votersOutgoing.map((one) => one.slice(-2)).join('');
      const mark = status.suspectUntil === null ? '' : ` suspect=${status.suspectUntil.index}`;
      return `${id} ${role}${mark} term=${term} commit=${commit} applied=${applied} log=${firstIndex}..${lastIndex} voters=${voters}/${outgoing} ${peers}`;
    })
    .join('; ');
}
