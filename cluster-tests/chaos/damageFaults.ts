import {
  closeSync,
  cpSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '../faultProxy/waitFor.ts';
import { freePort } from '../freePort.ts';
import { type FaultKind, type Injected, OURS } from './faultKind.ts';
import type { HoldfastTarget } from './holdfastTarget.ts';
import { anyone } from './processFaults.ts';
import type { World } from './target.ts';

type OurWorld = World<HoldfastTarget>;

/** How long a damaged node may take to find it out, be rebuilt from the others, or end itself. */
const REBUILT_WITHIN_MS = 30_000;

function filesUnder(dir: string): readonly string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => statSync(path).size > 0 && !/LOCK$|LOG(\.old)?$|lock$/.test(path))
    .toSorted();
}

function flipBit(path: string, offset: number, bit: number): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, offset);
  byte[0] = (byte[0] ?? 0) ^ (1 << bit);
  writeSync(file, byte, 0, 1, offset);
  fsyncSync(file);
  closeSync(file);
}

/** Stops one, does something to its files, and starts it again: it has to be whole again, or stay away. */
async function damaged(
  world: OurWorld,
  harm: (files: readonly string[], dataDir: string) => string,
): Promise<Injected | null> {
  const name = anyone(world);
  if (name === null || !world.target.isRunning(name)) return null;
  world.expectExit(name);
  await world.target.kill(name);
  const { dataDir } = world.target.cluster.node(name);
  const what = harm(filesUnder(dataDir), dataDir);
  world.target.start(name);
  return {
    what: `${name}: ${what}`,
    holds: [name],
    lastsMs: 4_000,
    heal: () => backAgain(world, name),
  };
}

/** A node that ended itself over its damage is replaced by its operator: out, and in again as a new member. */
async function backAgain(world: OurWorld, name: string): Promise<void> {
  for (
    const deadlineMs = performance.now() + REBUILT_WITHIN_MS;
    performance.now() < deadlineMs;
    await waitFor(500)
  ) {
    if (!world.target.isRunning(name)) break;
    const statuses = await world.target.statuses();
    const own = statuses.find((status) => status.name === name);
    const leader = statuses.find((status) => status.role === 'leader');
    if (own !== undefined && leader !== undefined && own.appliedIndex + 1_000 > leader.appliedIndex) return;
  }
  await world.target.replace(name, (text) => world.violation(text));
}

export const DAMAGE_FAULTS: readonly FaultKind<HoldfastTarget>[] = [
  {
    name: 'bit flip',
    needs: [],
    weight: 1,
    takes: 'one',
    targets: OURS,
    expectation: 'the node finds it out, and is rebuilt from the others or stays away',
    inject: (world) =>
      damaged(world, (files, dataDir) => {
        const path = world.random.one(files);
        const offset = world.random.integer(0, statSync(path).size - 1);
        flipBit(path, offset, world.random.integer(0, 7));
        return `bit flipped at ${offset} of ${path.slice(dataDir.length + 1)}`;
      }),
  },
  {
    name: 'deleted file',
    needs: [],
    weight: 1,
    takes: 'one',
    targets: OURS,
    expectation: 'the node never opens empty; it is rebuilt from the others or stays away',
    inject: (world) =>
      damaged(world, (files, dataDir) => {
        const path = world.random.one(files);
        rmSync(path);
        return `${path.slice(dataDir.length + 1)} deleted`;
      }),
  },
  {
    name: 'torn tail',
    needs: [],
    weight: 1,
    takes: 'one',
    targets: OURS,
    expectation: 'a log that is shorter than it was is no voter until it has caught up',
    inject: (world) =>
      damaged(world, (files, dataDir) => {
        const log = files.filter((file) => file.startsWith(join(dataDir, 'wal')));
        const segments = log.filter((file) => !file.endsWith('watermark'));
        const path = world.random.chance(0.3)
          ? world.random.one(log)
          : (segments.at(-1) ?? world.random.one(files));
        const bytes = world.random.logarithmic(1, Math.max(2, Math.min(8_192, statSync(path).size)));
        truncateSync(path, Math.max(0, statSync(path).size - bytes));
        return `${path.slice(dataDir.length + 1)} ${bytes} bytes shorter`;
      }),
  },
  {
    name: 'old disk image',
    needs: [],
    weight: 1,
    takes: 'one',
    targets: OURS,
    expectation: 'a node that has forgotten what it promised is found out before it votes',
    waitsFor: 'a node whose disk went back in time is found out by the others',
    inject: async (world) => {
      const name = anyone(world);
      if (name === null || !world.target.isRunning(name)) return null;
      world.expectExit(name);
      await world.target.kill(name);
      const { dataDir } = world.target.cluster.node(name);
      const copy = `${dataDir}.copy`;
      rmSync(copy, { recursive: true, force: true });
      cpSync(dataDir, copy, { recursive: true });
      world.target.start(name);
      await waitFor(3_000);
      await world.target.kill(name);
      rmSync(dataDir, { recursive: true, force: true });
      cpSync(copy, dataDir, { recursive: true });
      rmSync(copy, { recursive: true, force: true });
      world.target.start(name);
      return {
        what: `${name}: as it was 3 s before`,
        holds: [name],
        lastsMs: 3_000,
        heal: () => backAgain(world, name),
      };
    },
  },
  {
    name: 'two nodes with one id',
    needs: [],
    weight: 1,
    takes: 'one',
    targets: OURS,
    expectation: 'the others talk to one of them only',
    waitsFor: 'a second instance of a node is turned away by the others',
    inject: async (world) => {
      const name = anyone(world);
      if (name === null || !world.target.isRunning(name)) return null;
      world.expectExit(name);
      await world.target.kill(name);
      const node = world.target.cluster.node(name);
      const copy = `${node.dataDir}.twin`;
      cpSync(node.dataDir, copy, { recursive: true });
      world.target.start(name);
      const { host } = world.target.placeOf(name);
      const twin = world.target.cluster.startProcess({
        ...node,
        dataDir: copy,
        apiAddress: `${host}:${await freePort()}`,
        peerAddress: `${host}:${await freePort()}`,
        logPath: `${node.logPath}.twin`,
        launch: { wrapper: node.launch?.wrapper ?? [] },
      });
      return {
        what: name,
        holds: [name],
        lastsMs: 5_000,
        heal: async () => {
          twin.kill('SIGKILL');
          rmSync(copy, { recursive: true, force: true });
          await backAgain(world, name);
        },
      };
    },
  },
];
