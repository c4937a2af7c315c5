import { present } from '../../src/base/assert.ts';
import { until } from '../until.ts';
import { BOTH, type FaultKind, type Injected, OURS } from './faultKind.ts';
import type { HoldfastTarget } from './holdfastTarget.ts';
import { anyone } from './processFaults.ts';
import type { World } from './target.ts';
import { DURABLE_WRITES, LOG_WRITES, Tracer } from './tracer.ts';

type OurWorld = World<HoldfastTarget>;

const EXIT_WITHIN_MS = 15_000;

function slow(world: World, name: string): Injected {
  const delayUs = world.random.logarithmic(5_000, 800_000);
  const tracer = new Tracer(world.target.processId(name), DURABLE_WRITES, `delay_exit=${delayUs}`);
  const lastsMs = world.random.logarithmic(1_500, 6_000);
  const what = `${name}: every durable write takes ${Math.round(delayUs / 1_000)} ms longer, for ${lastsMs} ms`;
  return { what, holds: [name], lastsMs, heal: () => tracer.end(), struck: () => tracer.struckLog() };
}

/** A disk that refuses: the process has to end by itself. */
async function failing(world: World, name: string, error: string): Promise<Injected> {
  world.expectExit(name);
  // Else it is nearly always the state's disk that fails first.
  const calls = world.random.chance(0.5) ? LOG_WRITES : DURABLE_WRITES;
  const tracer = new Tracer(world.target.processId(name), calls, `error=${error}`);
  return {
    what: `${name}: ${error} on ${calls === LOG_WRITES ? 'every write of the log' : 'every durable write'}`,
    holds: [name],
    lastsMs: world.random.integer(1_000, 3_000),
    heal: async () => {
      // It has something to write as soon as the cluster takes writes.
      const ended = await until(EXIT_WITHIN_MS, 'an end', () => !world.target.isRunning(name)).then(
        () => true,
        () => false,
      );
      await tracer.end();
      if (!ended && tracer.struck.size > 0) {
        world.violation(
          `${name} has gone on for up to ${EXIT_WITHIN_MS} ms after ${error} on ${[...tracer.struck.keys()].join(', ')}`,
        );
        await world.target.kill(name);
      }
      world.target.start(name);
    },
    struck: () => tracer.struck.size > 0,
  };
}

/** Long enough for the node to look at its disk once (LIMITS.diskCheckIntervalMs). */
const FULL_MS = { min: 2_500, max: 5_000 };

function full(world: OurWorld, name: string): Injected {
  const disks = present(world.disks, 'disks');
  const { slot } = world.target.placeOf(name);
  world.expectExit(name);
  disks.fill(slot);
  let isNoticed = false;
  return {
    what: `${name}: no space left`,
    holds: [name],
    lastsMs: world.random.integer(FULL_MS.min, FULL_MS.max),
    heal: async () => {
      const own = (await world.target.statuses()).find((status) => status.name === name);
      isNoticed = own?.disk?.low === true || !world.target.isRunning(name);
      disks.free(slot);
      if (!world.target.isRunning(name)) world.target.start(name);
    },
    struck: () => isNoticed,
  };
}

async function powerCut(world: World, names: readonly string[], downMs: number): Promise<Injected> {
  const disks = present(world.disks, 'disks');
  const running = names.filter((name) => world.target.isRunning(name));
  // All stop at one time; the copies are made while nobody moves.
  for (const name of running) process.kill(world.target.processId(name), 'SIGSTOP');
  for (const name of running) disks.cut(world.target.placeOf(name).slot);
  for (const name of running) {
    world.expectExit(name);
    await world.target.kill(name);
    await disks.boot(world.target.placeOf(name).slot);
  }
  return {
    what: `${running.join(', ')} for ${downMs} ms`,
    holds: running,
    lastsMs: downMs,
    heal: () => {
      for (const name of running) world.target.start(name);
      return Promise.resolve();
    },
    struck: () => running.length > 0,
  };
}

async function onOne(
  world: World,
  harm: (name: string) => Promise<Injected> | Injected,
): Promise<Injected | null> {
  const name = anyone(world);
  return name === null || !world.target.isRunning(name) ? null : await harm(name);
}

export const DISK_FAULTS: readonly FaultKind[] = [
  {
    name: 'slow disk',
    needs: ['strace'],
    weight: 3,
    takes: 'one',
    targets: BOTH,
    inject: (world) => onOne(world, (name) => slow(world, name)),
  },
  {
    name: 'EIO',
    needs: ['strace'],
    weight: 2,
    takes: 'one',
    targets: OURS,
    inject: (world) => onOne(world, (name) => failing(world, name, 'EIO')),
  },
  {
    name: 'ENOSPC on write',
    needs: ['strace'],
    weight: 1,
    takes: 'one',
    targets: OURS,
    inject: (world) => onOne(world, (name) => failing(world, name, 'ENOSPC')),
  },
  {
    name: 'power cut',
    needs: ['loopImages', 'realDisk'],
    weight: 3,
    takes: 'one',
    targets: BOTH,
    inject: (world) => onOne(world, (name) => powerCut(world, [name], world.random.logarithmic(100, 2_000))),
  },
  {
    name: 'power cut of all',
    needs: ['loopImages', 'realDisk'],
    weight: 1.5,
    takes: 'majority',
    targets: BOTH,
    inject: (world) => powerCut(world, world.target.members(), world.random.logarithmic(100, 1_000)),
  },
];

/** A full disk: only our nodes can be asked whether they have noticed. */
export const OUR_DISK_FAULTS: readonly FaultKind<HoldfastTarget>[] = [
  {
    name: 'full disk',
    needs: ['loopImages'],
    weight: 2,
    takes: 'one',
    targets: OURS,
    inject: (world) => onOne(world, (name) => full(world, name)),
  },
];
