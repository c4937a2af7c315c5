import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { comeBack } from './comeBack.ts';
import { type FaultKind, type Injected, OURS } from './faultKind.ts';
import type { HoldfastTarget } from './holdfastTarget.ts';
import { flipBit, namedParts, tearTail } from './logDamage.ts';
import { OLD_IMAGE } from './oldImage.ts';
import { anyone } from './processFaults.ts';
import type { World } from './target.ts';
import { TWIN } from './twin.ts';

type OurWorld = World<HoldfastTarget>;

/** What there may be in a data folder that nobody reads, or nobody misses. */
const IDLE = /LOCK$|LOG(\.old)?$|lock$|\/lock\/|\/next\.prepared$|\.damaged$/;

interface DataFile {
  readonly path: string;
  /** Behind it there is nothing. */
  readonly usedBytes: number;
}

/** The files that hold something; of the log, as far as its loss is promised to be found. */
function filesUnder(dataDir: string): readonly DataFile[] {
  const log = namedParts(join(dataDir, 'wal')).map(({ path, end }) => ({ path, usedBytes: end }));
  const others = readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.endsWith('.wal') && !IDLE.test(path))
    .map((path) => ({ path, usedBytes: statSync(path).size }))
    .filter(({ usedBytes }) => usedBytes > 0);
  return [...log, ...others].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

interface Damage {
  readonly what: string;
  /** Harmed: the node says so, and is mended. Gone: it refuses to begin an empty one. */
  readonly log: 'sound' | 'harmed' | 'gone';
}

/** What it says, and whether it goes on. */
const ANSWERS = {
  harmed: { outcome: 'back', says: 'the log is suspect' },
  gone: { outcome: 'ended', says: 'has no segment' },
} as const;

/** Stops one, does something to its files, and starts it again: it has to be whole again, or stay away. */
async function damaged(world: OurWorld, harm: (dataDir: string) => Damage | null): Promise<Injected | null> {
  const name = anyone(world);
  if (name === null || !world.target.isRunning(name)) return null;
  world.expectExit(name);
  await world.target.kill(name);
  const { dataDir, logPath } = world.target.cluster.node(name);
  const damage = harm(dataDir);
  const saidBefore = readFileSync(logPath, 'utf8').length;
  world.target.start(name);
  if (damage === null) return null;
  const { what, log } = damage;
  return {
    what: `${name}: ${what}`,
    holds: [name],
    lastsMs: 4_000,
    heal: async () => {
      const outcome = await comeBack(world, name);
      if (log === 'sound' || outcome === 'late') return;
      const said = readFileSync(logPath, 'utf8').slice(saidBefore);
      const due = ANSWERS[log];
      if (outcome !== due.outcome || !said.includes(due.says))
        world.violation(`${name} should say '${due.says}' of its log (${what}), and is ${outcome}:\n${said}`);
    },
    struck: () => true,
  };
}

const isLog = (path: string) => path.endsWith('.wal');

function isOnlySegment(path: string): boolean {
  return isLog(path) && readdirSync(dirname(path)).filter(isLog).length === 1;
}

export const DAMAGE_FAULTS: readonly FaultKind<HoldfastTarget>[] = [
  {
    name: 'bit flip',
    needs: [],
    weight: 1,
    takes: 'one',
    targets: OURS,
    inject: (world) =>
      damaged(world, (dataDir) => {
        const { path, usedBytes } = world.random.one(filesUnder(dataDir));
        const offset = world.random.integer(0, usedBytes - 1);
        flipBit(path, offset, world.random.integer(0, 7));
        const what = `bit flipped at ${offset} of ${usedBytes} of ${path.slice(dataDir.length + 1)}`;
        return { what, log: isLog(path) ? 'harmed' : 'sound' };
      }),
  },
  {
    name: 'deleted file',
    needs: [],
    weight: 1,
    takes: 'one',
    targets: OURS,
    inject: (world) =>
      damaged(world, (dataDir) => {
        const { path } = world.random.one(filesUnder(dataDir));
        const log = isOnlySegment(path) ? 'gone' : isLog(path) ? 'harmed' : 'sound';
        rmSync(path);
        return { what: `${path.slice(dataDir.length + 1)} deleted`, log };
      }),
  },
  {
    name: 'torn tail',
    needs: [],
    weight: 1,
    takes: 'one',
    targets: OURS,
    inject: (world) =>
      damaged(world, (dataDir) => {
        const what = tearTail(join(dataDir, 'wal'), world.random);
        return what === null ? null : { what, log: 'harmed' };
      }),
  },
  OLD_IMAGE,
  TWIN,
];
