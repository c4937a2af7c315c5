import { BOTH, type FaultKind, type Injected } from './faultKind.ts';
import type { Link, PacketFault, ToxicBody, Undo } from './network.ts';
import { anyone, leaderOf } from './processFaults.ts';
import type { World } from './target.ts';

/** In force until it is undone; it has struck if packets met it. */
function inForce(fault: Omit<Injected, 'heal' | 'struck'>, ...undo: readonly Undo[]): Injected {
  let met = 0;
  return {
    ...fault,
    heal: async () => {
      for (const one of undo) met += await one();
    },
    struck: () => met > 0,
  };
}

const lasting = (world: World) => world.random.logarithmic(800, 6_000);

/** Between one and all the others; `in` is what comes to it. */
function linksOf(
  world: World,
  name: string,
): { readonly in: readonly Link[]; readonly out: readonly Link[] } {
  const self = world.target.placeOf(name).slot;
  const others = world.network.places.map(({ slot }) => slot).filter((slot) => slot !== self);
  return {
    in: others.map((from) => ({ from, to: self })),
    out: others.map((to) => ({ from: self, to })),
  };
}

function between(world: World, one: string, other: string): readonly Link[] {
  const [a, b] = [world.target.placeOf(one).slot, world.target.placeOf(other).slot];
  return [
    { from: a, to: b },
    { from: b, to: a },
  ];
}

const SILENCE: ToxicBody = { type: 'timeout', attributes: { timeout: 0 } };

/** Nothing passes: by lost packets or by proxies that swallow, as chance has it. */
async function cut(world: World, links: readonly Link[]): Promise<{ how: string; undo: Undo }> {
  if (world.network.perLink && world.random.chance(0.5))
    return { how: 'packets dropped', undo: await world.network.packets(links, { kind: 'drop' }) };
  return { how: 'proxies silent', undo: await world.network.poison(links, SILENCE) };
}

type Pick = (world: World) => Promise<string | null> | string | null;

async function isolated(world: World, pick: Pick): Promise<Injected | null> {
  const name = await pick(world);
  if (name === null) return null;
  const links = linksOf(world, name);
  const { how, undo } = await cut(world, [...links.in, ...links.out]);
  const lastsMs = lasting(world);
  return inForce({ what: `${name} for ${lastsMs} ms, ${how}`, holds: [name], lastsMs }, undo);
}

/** What one end sends to the other is lost, on all connections between them. The other direction works. */
async function oneWay(world: World, name: string, direction: 'deaf' | 'mute'): Promise<Injected> {
  const links = linksOf(world, name);
  const [forward, back] = direction === 'deaf' ? [links.in, links.out] : [links.out, links.in];
  const lastsMs = lasting(world);
  const told = `${name} ${direction} for ${lastsMs} ms`;
  if (world.random.chance(0.5)) {
    const undo = await world.network.packets(forward, { kind: 'drop' });
    return inForce({ what: `${told}, packets dropped`, holds: [name], lastsMs }, undo);
  }
  const undoForward = await world.network.poison(forward, { ...SILENCE, stream: 'upstream' });
  const undoBack = await world.network.poison(back, { ...SILENCE, stream: 'downstream' });
  return inForce({ what: `${told}, proxies silent`, holds: [name], lastsMs }, undoForward, undoBack);
}

/** Links of one member, or all links, or one pair. */
function someLinks(world: World): { readonly where: string; readonly links: readonly Link[] } {
  const names = world.target.members();
  const all = names.flatMap((name) => linksOf(world, name).in);
  if (world.random.chance(0.3)) return { where: 'all links', links: all };
  const [one = '', other = ''] = world.random.some(names, 2);
  if (world.random.chance(0.4)) return { where: `${one} and ${other}`, links: between(world, one, other) };
  const links = linksOf(world, one);
  return { where: `links of ${one}`, links: [...links.in, ...links.out] };
}

async function poisoned(world: World, toxic: ToxicBody): Promise<Injected> {
  const { where, links } = someLinks(world);
  const undo = await world.network.poison(links, toxic);
  const lastsMs = lasting(world);
  const numbers = Object.entries(toxic.attributes).map((pair) => pair.join(' '));
  return inForce({ what: `${where}: ${numbers.join(', ')} for ${lastsMs} ms`, holds: [], lastsMs }, undo);
}

async function packets(world: World, fault: PacketFault): Promise<Injected> {
  const { where, links } = someLinks(world);
  const undo = await world.network.packets(links, fault);
  const lastsMs = fault.kind === 'reset' ? world.random.integer(100, 1_500) : lasting(world);
  const how = fault.kind === 'loss' ? `${Math.round(fault.probability * 100)} % lost` : fault.kind;
  return inForce({ what: `${where}: ${how} for ${lastsMs} ms`, holds: [], lastsMs }, undo);
}

/** Links go one by one, and come back in another order. */
async function swizzled(world: World, name: string): Promise<Injected> {
  const links = linksOf(world, name);
  const all = [...links.in, ...links.out];
  const undone: Undo[] = [];
  for (const link of world.random.some(all, all.length)) undone.push((await cut(world, [link])).undo);
  const lastsMs = lasting(world);
  const again = world.random.some(undone, undone.length);
  return inForce({ what: `${name} for ${lastsMs} ms`, holds: [name], lastsMs }, ...again);
}

/** Two that do not see each other, and both see the rest. */
async function partial(world: World): Promise<Injected | null> {
  const leader = await leaderOf(world);
  const [one, other] = world.random.some(world.unharmed(), 2);
  if (one === undefined || other === undefined) return null;
  // With the leader in it as often as not: that is the interesting one.
  const pair =
    leader !== null && world.random.chance(0.5) && other !== leader ? [leader, other] : [one, other];
  const [first = '', second = ''] = pair;
  return await unseen(world, first, second);
}

async function betweenFollowers(world: World, name: string): Promise<Injected | null> {
  const leader = await world.target.leader();
  const others = world.unharmed().filter((other) => other !== name && other !== leader);
  return leader === undefined || others.length === 0
    ? null
    : await unseen(world, name, world.random.one(others));
}

async function unseen(world: World, first: string, second: string): Promise<Injected> {
  const { how, undo } = await cut(world, between(world, first, second));
  const lastsMs = world.random.logarithmic(1_000, 8_000);
  // Whoever it is that cannot follow then: one of the two.
  return inForce(
    { what: `${first} and ${second} for ${lastsMs} ms, ${how}`, holds: [second], lastsMs },
    undo,
  );
}

async function split(world: World): Promise<Injected | null> {
  const names = world.random.some(world.target.members(), world.target.members().length);
  const minority = names.slice(0, Math.floor(names.length / 2));
  const links = minority.flatMap((name) =>
    names.slice(minority.length).flatMap((other) => between(world, name, other)),
  );
  if (minority.length < 1) return null;
  const { how, undo } = await cut(world, links);
  const lastsMs = lasting(world);
  return inForce(
    { what: `${minority.join(', ')} away for ${lastsMs} ms, ${how}`, holds: minority, lastsMs },
    undo,
  );
}

/** Nobody reaches anybody. */
async function shattered(world: World): Promise<Injected> {
  const links = world.target.members().flatMap((name) => linksOf(world, name).in);
  const { how, undo } = await cut(world, links);
  const lastsMs = world.random.logarithmic(500, 4_000);
  return inForce(
    { what: `everybody for ${lastsMs} ms, ${how}`, holds: world.target.members(), lastsMs },
    undo,
  );
}

const orNull = async (name: string | null, harm: (name: string) => Promise<Injected>) =>
  name === null ? null : await harm(name);

export const NETWORK_FAULTS: readonly FaultKind[] = [
  {
    name: 'partition one',
    needs: [],
    weight: 5,
    takes: 'one',
    targets: BOTH,
    inject: (world) => isolated(world, anyone),
  },
  {
    name: 'partition leader',
    needs: [],
    weight: 4,
    takes: 'one',
    targets: BOTH,
    inject: (world) => isolated(world, leaderOf),
  },
  {
    name: 'partition minority',
    needs: ['namespaces'],
    weight: 1,
    takes: 'majority',
    targets: BOTH,
    inject: split,
  },
  {
    name: 'partition all',
    needs: [],
    weight: 1,
    takes: 'majority',
    targets: BOTH,
    inject: shattered,
  },
  {
    name: 'deaf',
    needs: ['namespaces'],
    weight: 3,
    takes: 'one',
    targets: BOTH,
    inject: (world) => orNull(anyone(world), (name) => oneWay(world, name, 'deaf')),
    toFollower: (world, name) => oneWay(world, name, 'deaf'),
  },
  {
    name: 'mute',
    needs: ['namespaces'],
    weight: 3,
    takes: 'one',
    targets: BOTH,
    inject: (world) => orNull(anyone(world), (name) => oneWay(world, name, 'mute')),
    toFollower: (world, name) => oneWay(world, name, 'mute'),
  },
  {
    name: 'partial partition',
    needs: ['namespaces'],
    weight: 4,
    takes: 'one',
    targets: BOTH,
    inject: partial,
    toFollower: betweenFollowers,
  },
  {
    name: 'swizzle',
    needs: ['namespaces'],
    weight: 2,
    takes: 'one',
    targets: BOTH,
    inject: (world) => orNull(anyone(world), (name) => swizzled(world, name)),
    toFollower: swizzled,
  },
  {
    name: 'loss',
    needs: ['namespaces'],
    weight: 4,
    takes: 'none',
    targets: BOTH,
    inject: (world) => packets(world, { kind: 'loss', probability: 0.02 + 0.28 * world.random.fraction() }),
  },
  {
    name: 'reset packets',
    needs: ['namespaces'],
    weight: 2,
    takes: 'none',
    targets: BOTH,
    inject: (world) => packets(world, { kind: 'reset' }),
  },
  {
    name: 'reset connections',
    needs: [],
    weight: 3,
    takes: 'none',
    targets: BOTH,
    inject: (world) =>
      poisoned(world, { type: 'reset_peer', attributes: { timeout: world.random.integer(0, 300) } }),
  },
  {
    name: 'delay',
    needs: [],
    weight: 4,
    takes: 'none',
    targets: BOTH,
    inject: (world) => {
      const latency = world.random.logarithmic(5, 400);
      return poisoned(world, { type: 'latency', attributes: { latency, jitter: Math.round(latency / 2) } });
    },
  },
  {
    name: 'bandwidth',
    needs: [],
    weight: 2,
    takes: 'none',
    targets: BOTH,
    inject: (world) =>
      poisoned(world, { type: 'bandwidth', attributes: { rate: world.random.logarithmic(10, 400) } }),
  },
  {
    name: 'slices',
    needs: [],
    weight: 2,
    takes: 'none',
    targets: BOTH,
    inject: (world) =>
      poisoned(world, {
        type: 'slicer',
        attributes: { average_size: world.random.logarithmic(5, 500), size_variation: 3, delay: 100 },
      }),
  },
  {
    name: 'cut in the middle',
    needs: [],
    weight: 2,
    takes: 'none',
    targets: BOTH,
    inject: (world) =>
      poisoned(world, {
        type: 'limit_data',
        attributes: { bytes: world.random.logarithmic(2_000, 200_000) },
      }),
  },
];
