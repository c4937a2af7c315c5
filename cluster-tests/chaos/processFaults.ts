import { BOTH, type FaultKind, type Injected } from './faultKind.ts';
import type { World } from './target.ts';

const ELECTION_MS = 1_000;

/** An unharmed leader, where one is known. */
export async function leaderOf(world: World): Promise<string | null> {
  const leader = await world.target.leader();
  return leader !== undefined && world.unharmed().includes(leader) ? leader : null;
}

export function anyone(world: World): string | null {
  const unharmed = world.unharmed();
  return unharmed.length === 0 ? null : world.random.one(unharmed);
}

async function killed(world: World, names: readonly string[], downMs: number): Promise<Injected> {
  const running = names.filter((name) => world.target.isRunning(name));
  for (const name of running) world.expectExit(name);
  await Promise.all(running.map((name) => world.target.kill(name)));
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

function paused(world: World, names: readonly string[], pauseMs: number): Injected {
  const pids = names.map((name) => world.target.processId(name));
  const signal = (which: NodeJS.Signals) => {
    for (const pid of pids) process.kill(pid, which);
  };
  signal('SIGSTOP');
  return {
    what: `${names.join(', ')} for ${pauseMs} ms`,
    holds: names,
    lastsMs: pauseMs,
    heal: () => {
      signal('SIGCONT');
      return Promise.resolve();
    },
    struck: () => pids.length > 0,
  };
}

const one = async (
  world: World,
  pick: (world: World) => Promise<string | null> | string | null,
  harm: (name: string) => Promise<Injected> | Injected,
): Promise<Injected | null> => {
  const name = await pick(world);
  return name === null || !world.target.isRunning(name) ? null : await harm(name);
};

export const PROCESS_FAULTS: readonly FaultKind[] = [
  {
    name: 'kill one',
    needs: [],
    weight: 8,
    takes: 'one',
    targets: BOTH,
    inject: (world) =>
      one(world, anyone, (name) => killed(world, [name], world.random.logarithmic(200, 3_000))),
  },
  {
    name: 'kill leader',
    needs: [],
    weight: 6,
    takes: 'one',
    targets: BOTH,
    inject: (world) =>
      one(world, leaderOf, (name) => killed(world, [name], world.random.logarithmic(500, 4_000))),
  },
  {
    name: 'kill a majority',
    needs: [],
    weight: 2,
    takes: 'majority',
    targets: BOTH,
    inject: (world) => {
      const names = world.target.members();
      const most = world.random.some(names, Math.floor(names.length / 2) + 1);
      return killed(world, most, world.random.logarithmic(200, 2_000));
    },
  },
  {
    name: 'kill all',
    needs: [],
    weight: 2,
    takes: 'majority',
    targets: BOTH,
    inject: (world) => killed(world, world.target.members(), world.random.logarithmic(50, 1_000)),
  },
  {
    name: 'stop for long',
    needs: [],
    weight: 1,
    takes: 'one',
    targets: BOTH,
    inject: (world) =>
      one(world, anyone, (name) => killed(world, [name], world.random.integer(10_000, 18_000))),
  },
  {
    name: 'pause one',
    needs: [],
    weight: 5,
    takes: 'one',
    targets: BOTH,
    inject: (world) =>
      one(world, anyone, (name) =>
        paused(world, [name], world.random.logarithmic(0.2 * ELECTION_MS, 8 * ELECTION_MS)),
      ),
  },
  {
    name: 'pause leader',
    needs: [],
    weight: 4,
    takes: 'one',
    targets: BOTH,
    inject: (world) =>
      one(world, leaderOf, (name) =>
        paused(world, [name], world.random.logarithmic(0.5 * ELECTION_MS, 6 * ELECTION_MS)),
      ),
  },
  {
    name: 'pause for long',
    needs: [],
    weight: 0.5,
    takes: 'one',
    targets: BOTH,
    inject: (world) => one(world, anyone, (name) => paused(world, [name], 20 * ELECTION_MS)),
  },
  {
    name: 'pause all',
    needs: [],
    weight: 1,
    takes: 'majority',
    targets: BOTH,
    inject: (world) => {
      const names = world.target.members().filter((name) => world.target.isRunning(name));
      return Promise.resolve(paused(world, names, world.random.logarithmic(500, 4_000)));
    },
  },
];
