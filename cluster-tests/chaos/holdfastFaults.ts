import { once } from 'node:events';
import { present } from '../../src/base/assert.ts';
import { toHoldfastError } from '../../src/base/errors.ts';
import type { HoldfastClient } from '../../src/client/index.ts';
import { freePort } from '../../test/freePort.ts';
import type { FAILPOINTS } from '../../test/patches/failpoints.ts';
import { waitFor } from '../faultProxy/waitFor.ts';
import { until } from '../until.ts';
import { type FaultKind, type Injected, OURS } from './faultKind.ts';
import type { HoldfastTarget } from './holdfastTarget.ts';
import { anyone } from './processFaults.ts';
import type { World } from './target.ts';

type OurWorld = World<HoldfastTarget>;

/** Points that are passed all the time, and those that need a snapshot, a compaction, or a change of members. */
const BUSY_POINTS = [
  'raftBeforeSave',
  'raftAfterSave',
  'raftBeforeLeaderSend',
  'raftBeforeFollowerSend',
  'beforeApplyEntry',
  'afterApplyBatch',
  'logCompactBefore',
  'walRelease',
  'stateBatchBefore',
  'stateBatchAfter',
  'watchBeforeSend',
] as const satisfies readonly (keyof typeof FAILPOINTS)[];

const SNAPSHOT_POINTS = ['snapBeforeWrite', 'snapAfterChunk', 'snapBeforeSwap', 'snapAfterSwap'] as const;

function patient(world: OurWorld): string | null {
  const names = world.unharmed().filter((name) => world.target.hasFailpoints(name));
  return names.length === 0 ? null : world.random.one(names);
}

/** Ends itself at a point, if it comes by. */
function exits(world: OurWorld): Promise<Injected | null> {
  const name = patient(world);
  if (name === null) return Promise.resolve(null);
  const specification = `${world.random.one(BUSY_POINTS)}:exit@${world.random.integer(1, 30)}`;
  world.expectExit(name);
  const actsBefore = world.target.acts(name);
  world.target.arm(name, specification);
  return Promise.resolve({
    what: `${name}: ${specification}`,
    holds: [name],
    lastsMs: world.random.integer(500, 2_500),
    heal: () => {
      world.target.disarm(name);
      world.target.start(name);
      return Promise.resolve();
    },
    struck: () => world.target.acts(name) > actsBefore,
  });
}

/** Points that one passes all the time, whose event loop shall stand still now. */
const STALL_POINTS = {
  leader: ['raftBeforeSave', 'raftAfterSave', 'raftBeforeLeaderSend', 'beforeApplyEntry', 'afterApplyBatch'],
  follower: [
    'raftBeforeSave',
    'raftAfterSave',
    'raftBeforeFollowerSend',
    'beforeApplyEntry',
    'afterApplyBatch',
  ],
} as const satisfies Readonly<Record<string, readonly (keyof typeof FAILPOINTS)[]>>;

async function stalls(world: OurWorld): Promise<Injected | null> {
  const name = patient(world);
  if (name === null) return null;
  return stalled(world, name, (await world.target.leader()) === name ? 'leader' : 'follower');
}

function stalled(world: OurWorld, name: string, role: keyof typeof STALL_POINTS): Injected {
  const action = world.random.one(['stall', 'sleep'] as const);
  const durationMs = world.random.logarithmic(100, 3_000);
  const specification = `${world.random.one(STALL_POINTS[role])}:${action}:${durationMs}@${world.random.integer(1, 10)}`;
  const actsBefore = world.target.acts(name);
  world.target.arm(name, specification);
  return {
    what: `${name}: ${specification}`,
    holds: [name],
    lastsMs: durationMs + 1_000,
    heal: () => {
      world.target.disarm(name);
      return Promise.resolve();
    },
    struck: () => world.target.acts(name) > actsBefore,
  };
}

/** Comes back from a long stop, and ends itself while it takes a snapshot, if it has to take one. */
async function exitsInSnapshot(world: OurWorld): Promise<Injected | null> {
  const name = patient(world);
  if (name === null || name === (await world.target.leader())) return null;
  const specification = `${world.random.one(SNAPSHOT_POINTS)}:exit@1`;
  world.expectExit(name);
  await world.target.kill(name);
  const actsBefore = world.target.acts(name);
  return {
    what: `${name} after a long stop: ${specification}`,
    holds: [name],
    lastsMs: world.random.integer(9_000, 13_000),
    heal: async () => {
      world.target.start(name);
      world.target.arm(name, specification);
      await waitFor(2_500);
      world.target.disarm(name);
      if (world.target.hasFailpoints(name))
        await until(1_000, 'an end', () => !world.target.isRunning(name)).catch(() => undefined);
      world.target.start(name);
    },
    struck: () => world.target.acts(name) > actsBefore,
  };
}

function clockJump(world: OurWorld): Injected | null {
  const names = world.unharmed().filter((one) => world.target.hasClock(one));
  return names.length === 0 ? null : clockSet(world, world.random.one(names));
}

function clockSet(world: OurWorld, name: string): Injected {
  const seconds = world.random.one([-3_600, -30, -2, 2, 30, 3_600, 86_400 * 400]);
  const lastsMs = world.random.integer(1_500, 5_000);
  world.target.setClock(name, seconds);
  let isOff = false;
  return {
    what: `${name}: ${seconds} s for ${lastsMs} ms`,
    holds: [name],
    lastsMs,
    heal: async () => {
      const own = (await world.target.statuses()).find((status) => status.name === name);
      const offMs = own === undefined ? 0 : own.wallTimeMs - Date.now();
      isOff = Math.abs(offMs) > Math.abs(seconds) * 500 && offMs > 0 === seconds > 0;
      world.target.setClock(name, 0);
    },
    struck: () => isOff,
  };
}

async function asClient(world: OurWorld, use: (client: HoldfastClient) => Promise<void>): Promise<string> {
  try {
    const client = await world.target.cluster.client(undefined, 8_000);
    try {
      await use(client);
      return 'done';
    } finally {
      await client.close();
    }
  } catch (thrown) {
    return toHoldfastError(thrown).code;
  }
}

async function transfer(world: OurWorld): Promise<Injected | null> {
  const leader = await world.target.leader();
  const followers = world.unharmed().filter((name) => name !== leader);
  if (followers.length === 0) return null;
  const member = world.random.one(followers);
  const outcome = await asClient(world, (client) =>
    client.cluster.transferLeadership({ member }, { timeoutMs: 3_000 }),
  );
  return {
    what: `to ${member}: ${outcome}`,
    holds: [],
    lastsMs: 0,
    heal: () => Promise.resolve(),
    struck: () => outcome === 'done',
  };
}

/** A member that is behind has to pull a snapshot through other faults meanwhile, or two when the leader changes. */
const CHANGED_WITHIN_MS = 280_000;

/** Demotes a voter, and promotes it again when the fault is over. */
async function demotion(world: OurWorld): Promise<Injected | null> {
  const member = anyone(world);
  if (member === null) return null;
  const outcome = await asClient(world, (client) => client.cluster.demote({ member }, { timeoutMs: 5_000 }));
  return {
    what: `${member}: ${outcome}`,
    holds: [member],
    lastsMs: world.random.integer(500, 2_000),
    heal: () => promoted(world, member),
    struck: () => outcome === 'done',
  };
}

/** A learner becomes a voter, as soon as it is level. */
async function promoted(world: OurWorld, member: string): Promise<void> {
  let last = '';
  for (
    const deadlineMs = performance.now() + CHANGED_WITHIN_MS;
    performance.now() < deadlineMs;
    await waitFor(300)
  ) {
    last = await asClient(world, async (client) => {
      const { members } = await client.cluster.members({ timeoutMs: 3_000 });
      const known = members.find((one) => one.name === member);
      if (known?.role !== 'voter') await client.cluster.promote({ member }, { timeoutMs: 5_000 });
    });
    if (last === 'done') return;
  }
  world.violation(`${member} could not be made a voter within ${CHANGED_WITHIN_MS} ms: ${last}`);
}

async function removed(world: OurWorld, member: string): Promise<void> {
  let last = '';
  // A node that reads of its own removal ends.
  world.expectExit(member);
  for (
    const deadlineMs = performance.now() + CHANGED_WITHIN_MS;
    performance.now() < deadlineMs;
    await waitFor(300)
  ) {
    last = await asClient(world, async (client) => {
      const { members } = await client.cluster.members({ timeoutMs: 3_000 });
      if (members.some((one) => one.name === member))
        await client.cluster.remove({ member }, { timeoutMs: 5_000 });
    });
    if (last === 'done') {
      await world.target.kill(member);
      world.target.forget(member);
      return;
    }
  }
  world.violation(`${member} could not be removed within ${CHANGED_WITHIN_MS} ms: ${last}`);
}

/** A learner joins; afterwards it is gone again, or takes the place of a voter. */
async function newcomer(world: OurWorld, replaces: boolean): Promise<Injected | null> {
  if (world.target.freePlaces().length === 0) return null;
  const old = replaces ? anyone(world) : null;
  if (replaces && old === null) return null;
  let name: string;
  try {
    name = await world.target.addMember('learner');
  } catch (thrown) {
    return {
      what: `nobody joined: ${toHoldfastError(thrown).message.slice(0, 120)}`,
      holds: [],
      lastsMs: 0,
      heal: () => Promise.resolve(),
      struck: () => false,
    };
  }
  return {
    what: old === null ? `${name} as a learner` : `${name} for ${old}`,
    holds: old === null ? [name] : [name, old],
    lastsMs: world.random.integer(500, 2_000),
    heal: async () => {
      if (old === null) {
        await removed(world, name);
        return;
      }
      await promoted(world, name);
      await removed(world, old);
    },
    struck: () => true,
  };
}

/** Starting takes its time where the machine is busy. */
const REFUSED_WITHIN_MS = 40_000;

/** A second process on the directory of one that runs must refuse, and the first must not notice. */
async function twoProcesses(world: OurWorld): Promise<Injected | null> {
  const name = anyone(world);
  if (name === null || !world.target.isRunning(name)) return null;
  const node = world.target.cluster.node(name);
  const { host } = world.target.placeOf(name);
  const second = world.target.cluster.startProcess({
    ...node,
    apiAddress: `${host}:${await freePort()}`,
    peerAddress: `${host}:${await freePort()}`,
    logPath: `${node.logPath}.second`,
    launch: { wrapper: present(node.launch, 'launch').wrapper ?? [] },
  });
  const ended = once(second, 'exit') as Promise<[number | null, string | null]>;
  let isRefused = false;
  return {
    what: name,
    // Were the first one to end meanwhile, the second would be in the right.
    holds: [name],
    lastsMs: 0,
    heal: async () => {
      const late = new AbortController();
      const tooLong = waitFor(REFUSED_WITHIN_MS, late.signal).then((): [null, string] => [null, 'no end']);
      const [code, signal] = await Promise.race([ended, tooLong]);
      late.abort();
      isRefused = code !== null && code !== 0;
      if (isRefused) return;
      second.kill('SIGKILL');
      world.violation(`a second process on the directory of ${name} ended with ${code ?? signal}`);
    },
    struck: () => isRefused,
  };
}

export const HOLDFAST_FAULTS: readonly FaultKind<HoldfastTarget>[] = [
  {
    name: 'failpoint',
    needs: ['failpoints'],
    weight: 6,
    takes: 'one',
    targets: OURS,
    inject: exits,
  },
  {
    name: 'event-loop stall',
    needs: ['failpoints'],
    weight: 4,
    takes: 'one',
    targets: OURS,
    inject: stalls,
    toFollower: (world, name) =>
      Promise.resolve(world.target.hasFailpoints(name) ? stalled(world, name, 'follower') : null),
  },
  {
    name: 'kill in a snapshot',
    needs: ['failpoints'],
    weight: 0.7,
    takes: 'one',
    targets: OURS,
    inject: exitsInSnapshot,
  },
  {
    name: 'clock jump',
    needs: ['faketime'],
    weight: 2,
    takes: 'one',
    targets: OURS,
    inject: (world) => Promise.resolve(clockJump(world)),
    toFollower: (world, name) => Promise.resolve(world.target.hasClock(name) ? clockSet(world, name) : null),
  },
  {
    name: 'leadership transfer',
    needs: [],
    weight: 3,
    takes: 'none',
    targets: OURS,
    inject: transfer,
  },
  {
    name: 'demote and promote',
    needs: [],
    weight: 1.5,
    takes: 'one',
    targets: OURS,
    inject: demotion,
  },
  {
    name: 'learner comes and goes',
    needs: ['spareSlot'],
    weight: 1,
    takes: 'one',
    targets: OURS,
    inject: (world) => newcomer(world, false),
  },
  {
    name: 'replace a member',
    needs: ['spareSlot'],
    weight: 1.5,
    takes: 'one',
    targets: OURS,
    inject: (world) => newcomer(world, true),
  },
  {
    name: 'two processes on one directory',
    needs: [],
    weight: 1,
    takes: 'one',
    targets: OURS,
    inject: twoProcesses,
  },
];
