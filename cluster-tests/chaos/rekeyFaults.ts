import { KEY_CHANGE_FAILPOINTS, type KeyChangeFailpoint } from '../../test/patches/keyChangeFailpoints.ts';
import { until } from '../until.ts';
import { type FaultKind, type Injected, OURS } from './faultKind.ts';
import type { HoldfastTarget } from './holdfastTarget.ts';
import { anyone } from './processFaults.ts';
import type { World } from './target.ts';

type OurWorld = World<HoldfastTarget>;

const POINTS = Object.keys(KEY_CHANGE_FAILPOINTS) as readonly KeyChangeFailpoint[];
/** A rekey comes by every boundary within this time, unless a member holds it up. */
const COMES_BY_WITHIN_MS = 9_000;
/** Long enough for the others to come to where they cannot go on without it. */
const PHASE_WITHIN_MS = 10_000;

/** Ends itself at a boundary between two phases, when a rekey comes by. */
function exitsAtBoundary(world: OurWorld): Promise<Injected | null> {
  const names = world.unharmed().filter((name) => world.target.hasFailpoints(name));
  if (names.length === 0) return Promise.resolve(null);
  const name = world.random.one(names);
  const specification = `${world.random.one(POINTS)}:exit@1`;
  world.expectExit(name);
  const actsBefore = world.target.acts(name);
  world.target.arm(name, specification);
  const hasActed = () => world.target.acts(name) > actsBefore;
  return Promise.resolve({
    what: `${name}: ${specification}`,
    holds: [name],
    lastsMs: 500,
    heal: async () => {
      await until(COMES_BY_WITHIN_MS, 'the boundary', hasActed).catch(() => undefined);
      world.target.disarm(name);
      if (hasActed()) await until(COMES_BY_WITHIN_MS, 'its end', () => !world.target.isRunning(name));
      world.target.start(name);
    },
    struck: hasActed,
  });
}

/** Is down from one phase into the next, or until it is clear that the others wait for it. */
async function downForAPhase(world: OurWorld): Promise<Injected | null> {
  const name = anyone(world);
  const before = await phase(world);
  if (name === null || before === null) return null;
  world.expectExit(name);
  await world.target.kill(name);
  return {
    what: `${name} from ${before}`,
    holds: [name],
    lastsMs: 500,
    heal: async () => {
      await until(PHASE_WITHIN_MS, 'another phase', async () => {
        const now = await phase(world);
        return now !== null && now !== before;
      }).catch(() => undefined);
      world.target.start(name);
    },
    struck: () => true,
  };
}

async function phase(world: OurWorld): Promise<string | null> {
  const statuses = await world.target.statuses();
  const change = statuses.find(({ role }) => role === 'leader')?.keyChange ?? null;
  const isUnderWay = change?.phase === 'preparing' || change?.phase === 'rewriting';
  return isUnderWay ? `${change.phase} of ${change.id}` : null;
}

export const REKEY_FAULTS: readonly FaultKind<HoldfastTarget>[] = [
  {
    name: 'kill at a boundary of a rekey',
    needs: ['failpoints'],
    weight: 8,
    takes: 'one',
    targets: OURS,
    inject: exitsAtBoundary,
  },
  {
    name: 'down for a phase of a rekey',
    needs: [],
    weight: 2,
    takes: 'one',
    targets: OURS,
    inject: downForAPhase,
  },
];
