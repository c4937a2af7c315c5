import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../src/base/assert.ts';
import { toHoldfastError } from '../src/base/errors.ts';
import type { HoldfastError } from '../src/client/index.ts';
import { loadControlKeys } from '../src/envelope/keySources.ts';
import { KEY_CHANGE_FAILPOINTS, type KeyChangeFailpoint } from '../test/patches/keyChangeFailpoints.ts';
import { FailpointCluster } from './failpointCluster.ts';
import type { LocalCluster } from './localCluster.ts';
import { failAfterTheFirst } from './sharedCluster.ts';
import { until } from './until.ts';
import { Writers } from './writers.ts';

/* One cluster for all: in each test a node dies at one boundary of a rekey, under writers, and the rekey is finished. */
const LIMIT_MS = 90_000;
const WRITERS = 2;
const PAUSE_MS = 150;

let created: LocalCluster | undefined;
let failing: FailpointCluster;
let cluster: LocalCluster;
let writers: Writers;
const passed = new Set<KeyChangeFailpoint>();

beforeAll(async () => {
  failing = await FailpointCluster.form((early) => {
    created = early;
  });
  cluster = failing.cluster;
  writers = await Writers.start(cluster, { count: WRITERS, pauseMs: PAUSE_MS });
  await writers.untilMore(300, LIMIT_MS);
}, 2 * LIMIT_MS);

failAfterTheFirst();

afterAll(async () => {
  await created?.destroy();
});

/** Runs a rekey to its end while `disturb` is at work. */
async function rekey(disturb: () => Promise<void>): Promise<void> {
  const client = await cluster.client(undefined, LIMIT_MS);
  try {
    const id = await begin(client);
    const disturbed = disturb();
    await Promise.all([disturbed, finish(client, id)]);
  } finally {
    await client.close();
  }
  await until(LIMIT_MS, 'the old control key is in no file', () =>
    cluster.nodes.every(({ controlKeyPath }) => fingerprintsIn(controlKeyPath).length === 1),
  );
  expect(new Set(cluster.nodes.map(({ controlKeyPath }) => fingerprintsIn(controlKeyPath).join())).size).toBe(
    1,
  );
}

/** Null: whoever was asked died before it had answered, so nobody knows whether it is done. */
async function unlessUnknown<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (thrown) {
    if (toHoldfastError(thrown).code === 'OUTCOME_UNKNOWN') return null;
    throw thrown;
  }
}

const changeAtLeader = async () =>
  (await cluster.statuses()).find(({ role }) => role === 'leader')?.keyChange;

/** The id of a rekey that has begun: the leader may die of it so soon that its answer never comes. */
async function begin(client: Awaited<ReturnType<LocalCluster['client']>>): Promise<string> {
  const before = (await changeAtLeader())?.id;
  const answer = await unlessUnknown(client.cluster.beginKeyChange({ kind: 'rekey', source: 'file' }));
  if (answer !== null) return answer.id;
  let id: string | undefined;
  await until(LIMIT_MS, 'the rekey that was asked for to be under way', async () => {
    id = (await changeAtLeader())?.id;
    return id !== undefined && id !== '' && id !== before;
  });
  return present(id, 'id of the rekey');
}

/** Confirms the key as soon as all have it, and waits for the end. */
async function finish(client: Awaited<ReturnType<LocalCluster['client']>>, id: string): Promise<void> {
  await until(
    LIMIT_MS,
    () => `rekey ${id} to be finished; the logs say:\n${cluster.lastWords()}`,
    async () => {
      const change = await changeAtLeader();
      if (change?.id !== id) return false;
      if (change.phase === 'finished') return true;
      const { newFingerprint, confirmed, members, phase } = change;
      const isProved = members.length === 3 && members.every(({ proved }) => proved);
      if (phase === 'preparing' && isProved && !confirmed)
        await unlessUnknown(client.cluster.confirmKeyChange({ id, newFingerprint }));
      return false;
    },
  );
}

function fingerprintsIn(path: string): readonly string[] {
  const dataDir = join(cluster.dir, 'nowhere');
  return loadControlKeys({ path, dataDir, env: {} }).all.map(({ fingerprint }) => fingerprint);
}

/** Comes back when the others have gone on. */
async function diesAt(point: KeyChangeFailpoint, victim: string): Promise<void> {
  await failing.untilDead(victim, point);
  passed.add(point);
  await writers.untilMore(5, LIMIT_MS);
  cluster.start(victim);
}

const LEADER: readonly [KeyChangeFailpoint, number][] = [
  ['keyBeforeFile', 1],
  ['keyAfterFile', 1],
  ['keyBeforePrepared', 1],
  ['keyBeforeProofNoted', 1],
  ['keyBeforeProofNoted', 3],
  ['keyringBeforePropose', 1],
  ['keyringBeforePropose', 2],
  ['keyringAfterPropose', 1],
  ['keyringAfterPropose', 2],
  ['keyringBeforeFile', 1],
  ['keyringAfterFile', 2],
  ['rewriteAfterRows', 1],
  ['rewriteBeforeCount', 1],
];

const FOLLOWER: readonly [KeyChangeFailpoint, number][] = [
  ['keyBeforeFile', 1],
  ['keyAfterFile', 1],
  ['keyBeforeProof', 1],
  ['keyringBeforeFile', 1],
  ['keyringBeforeRename', 1],
  ['keyringAfterFile', 1],
  ['keyringBeforeFile', 2],
  ['keyringBeforeRename', 2],
  ['keyringAfterFile', 2],
  ['rewriteAfterRows', 1],
  ['rewriteAfterState', 1],
  ['rewriteBeforeLog', 1],
  ['rewriteBeforeCount', 1],
  ['oldKeyBeforeFile', 1],
  ['oldKeyAfterFile', 1],
];

describe('a rekey is finished, though', () => {
  it.each(LEADER)(
    'the leader dies at %s, time %i',
    async (point, at) => {
      const victim = await cluster.leader();
      await failing.arm(victim, `${point}:exit@${at}`);
      await rekey(() => diesAt(point, victim));
    },
    LIMIT_MS,
  );

  it.each(FOLLOWER)(
    'a follower dies at %s, time %i',
    async (point, at) => {
      const victim = await failing.follower();
      await failing.arm(victim, `${point}:exit@${at}`);
      await rekey(() => diesAt(point, victim));
    },
    LIMIT_MS,
  );
});

it(
  'after all of that no acknowledged write is lost, none was applied twice, and all states are equal',
  async () => {
    await writers.stop();
    const client = await cluster.client();
    try {
      expect(await writers.check(client)).toEqual([]);
    } finally {
      await client.close();
    }
    expect(new Set(await cluster.equalDigests()).size).toBe(1);
    expect(writers.unexpected.map((error: HoldfastError) => `${error.code}: ${error.message}`)).toEqual([]);
    expect([...passed].toSorted()).toEqual(Object.keys(KEY_CHANGE_FAILPOINTS).toSorted());
  },
  LIMIT_MS,
);
