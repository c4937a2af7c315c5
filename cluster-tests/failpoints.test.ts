import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHoldfastError } from '../src/base/errors.ts';
import type { HoldfastError, Watch } from '../src/client/index.ts';
import { FAILPOINTS, type FailpointName } from '../test/patches/failpoints.ts';
import { FailpointCluster } from './failpointCluster.ts';
import { holdfast, type LocalCluster, nodeFlags } from './localCluster.ts';
import { failAfterTheFirst } from './sharedCluster.ts';
import { until } from './until.ts';
import { Writers } from './writers.ts';

/*
 * One cluster for all: each test lets one node die at one place, under writers, and brings it back. What must hold is
 * asked for at the end, of everything that happened.
 */
const LIMIT_MS = 60_000;
const WRITERS = 4;
const PAUSE_MS = 150;

let created: LocalCluster | undefined;
let failing: FailpointCluster;
let cluster: LocalCluster;
let writers: Writers;
const passed = new Set<FailpointName>();

beforeAll(async () => {
  failing = await FailpointCluster.form((early) => {
    created = early;
  });
  cluster = failing.cluster;
  writers = await Writers.start(cluster, { count: WRITERS, pauseMs: PAUSE_MS });
  // More revisions than are kept: compaction has something to do all the time.
  await writers.untilMore(600, LIMIT_MS);
}, 2 * LIMIT_MS);

failAfterTheFirst();

afterAll(async () => {
  await created?.destroy();
});

/** The others go on while it is away, and it comes back. */
async function comesBack(name: string): Promise<void> {
  await writers.untilMore(20, LIMIT_MS);
  await startAgain(name);
}

/** Until it answers: the others may not have noticed yet that it was away. */
async function startAgain(name: string): Promise<void> {
  cluster.start(name);
  await until(
    LIMIT_MS,
    () => `${name} to be back; the logs say:\n${cluster.lastWords()}`,
    async () => (await cluster.statuses()).some((status) => status.name === name && status.leader !== ''),
  );
}

async function diesAt(point: FailpointName, victim: string, at = 1): Promise<void> {
  await failing.arm(victim, `${point}:exit@${at}`);
  await failing.untilDead(victim, point);
  passed.add(point);
}

describe('a leader that dies', () => {
  it.each<FailpointName>([
    'raftBeforeSave',
    'raftAfterSave',
    'raftBeforeLeaderSend',
    'beforeApplyEntry',
    'afterApplyBatch',
    'stateBatchBefore',
  ])(
    'at %s',
    async (point) => {
      const leader = await cluster.leader();
      await diesAt(point, leader, 3);
      await comesBack(leader);
    },
    LIMIT_MS,
  );
});

describe('a follower that dies', () => {
  it.each<FailpointName>([
    'raftBeforeSave',
    'raftAfterSave',
    'raftBeforeFollowerSend',
    'beforeApplyEntry',
    'afterApplyBatch',
    'stateBatchAfter',
    'logCompactBefore',
    'walRelease',
  ])(
    'at %s',
    async (point) => {
      const follower = await failing.follower();
      await diesAt(point, follower, 3);
      await comesBack(follower);
    },
    LIMIT_MS,
  );

  it(
    'at watchBeforeSend: the watch goes on where it was',
    async () => {
      const follower = await failing.follower();
      const client = await cluster.client([follower]);
      const watch = client.watch({ prefix: 'writers/' });
      await watch.ready();
      const events = collect(watch);
      await diesAt('watchBeforeSend', follower, 5);
      await comesBack(follower);
      const { revision } = await client.get('counters/0');
      await until(LIMIT_MS, 'the watch to catch up', () => events.revision >= revision);
      await client.close();
      expect(events.problems).toEqual([]);
      expect(events.keys.size).toBeGreaterThan(20);
    },
    LIMIT_MS,
  );
});

interface Collected {
  readonly keys: Set<string>;
  readonly problems: string[];
  revision: number;
}

/** Every key of the writers is put once: none may come twice, or before an older one, and none of one writer be left out. */
function collect(watch: Watch): Collected {
  const collected: Collected = { keys: new Set(), problems: [], revision: 0 };
  const lastOf = new Map<string, number>();
  const take = (key: string, revision: number): void => {
    const [, writer = '', sequence = ''] = key.split('/');
    const last = lastOf.get(writer);
    if (collected.keys.has(key)) collected.problems.push(`${key} came twice`);
    if (revision < collected.revision)
      collected.problems.push(`${key} came after revision ${collected.revision}`);
    // A writer leaves a number out only when its put failed, and then it was put by nobody.
    if (last !== undefined && Number(sequence) <= last) collected.problems.push(`${key} came after ${last}`);
    collected.keys.add(key);
    lastOf.set(writer, Number(sequence));
  };
  void (async () => {
    for await (const { revision, events } of watch) {
      for (const { item } of events) take(item.key.toString(), item.modRevision);
      collected.revision = revision;
    }
  })().catch((thrown: unknown) => void collected.problems.push(toHoldfastError(thrown).message));
  return collected;
}

describe('compaction (row 22 of the fault table)', () => {
  it.each<[FailpointName, 'leader' | 'follower']>([
    ['compactBefore', 'leader'],
    ['compactAfter', 'follower'],
  ])(
    'a death at %s of the %s: no revision goes back, what is compacted stays so',
    async (point, role) => {
      const victim = role === 'leader' ? await cluster.leader() : await failing.follower();
      const before = (await cluster.statuses()).find(({ name }) => name === victim);
      await diesAt(point, victim, 5);
      await comesBack(victim);
      const client = await cluster.client([victim]);
      // A read waits until the node has applied what it had.
      const { revision } = await client.get('counters/0');
      const after = await client.cluster.status();
      expect(revision).toBeGreaterThanOrEqual(before?.revision ?? Number.POSITIVE_INFINITY);
      expect(after.compactedRevision).toBeGreaterThanOrEqual(
        before?.compactedRevision ?? Number.POSITIVE_INFINITY,
      );
      expect(after.compactedRevision).toBeGreaterThan(0);
      const watch = client.watch({ prefix: 'writers/', startRevision: 1 });
      await expect(watch.next()).rejects.toMatchObject({ code: 'COMPACTED' });
      await client.close();
    },
    LIMIT_MS,
  );
});

/** More than the program with small windows holds in the log for anybody. */
const BEYOND_HELD_ENTRIES = 350;

/**
 * Stops a node and waits until the others have let go of what it lacks: it needs a snapshot when it comes back. Counted
 * in entries: one may carry the writes of several.
 */
async function leftBehind(): Promise<string> {
  const follower = await failing.follower();
  const appliedIndexMax = async () =>
    Math.max(...(await cluster.statuses()).map(({ appliedIndex }) => appliedIndex));
  const wanted = (await appliedIndexMax()) + BEYOND_HELD_ENTRIES;
  await cluster.kill(follower);
  while ((await appliedIndexMax()) < wanted) await writers.untilMore(40, LIMIT_MS);
  return follower;
}

describe('a snapshot transfer (row 21 of the fault table)', () => {
  it.each<[FailpointName, number]>([
    ['snapBeforeWrite', 1],
    ['snapAfterChunk', 3],
    ['snapBeforeSwap', 1],
    ['snapAfterSwap', 1],
  ])(
    'starts again when the receiver dies at %s',
    async (point, at) => {
      const follower = await leftBehind();
      await failing.arm(follower, `${point}:exit@${at}`);
      cluster.start(follower);
      await failing.untilDead(follower, point);
      passed.add(point);
      await comesBack(follower);
    },
    LIMIT_MS,
  );

  it(
    'starts again, from another node, when the sender dies at snapAfterSentChunk',
    async () => {
      const follower = await leftBehind();
      const leader = await cluster.leader();
      await failing.arm(leader, 'snapAfterSentChunk:exit@3');
      cluster.start(follower);
      await failing.untilDead(leader, 'snapAfterSentChunk');
      passed.add('snapAfterSentChunk');
      await writers.untilMore(20, LIMIT_MS);
      await startAgain(leader);
      await cluster.untilVoters(3);
    },
    LIMIT_MS,
  );
});

describe('membership (row 19 of the fault table)', () => {
  it(
    'a join whose leader dies at joinAfterToken is done with the same token',
    async () => {
      const newcomer = await failing.addNode('n4');
      const leader = await cluster.leader();
      const client = await cluster.client();
      const { token } = await client.cluster.addToken({ role: 'learner' });
      await client.close();
      await failing.arm(leader, 'joinAfterToken:exit');
      const join = () => holdfast(['join', '--token-file', '-', ...nodeFlags(newcomer)], { stdin: token });
      const first = join();
      await failing.untilDead(leader, 'joinAfterToken');
      passed.add('joinAfterToken');
      const { code } = await first;
      await comesBack(leader);
      // The command may have found the new leader by itself.
      if (code !== 0) expect(await join()).toMatchObject({ code: 0 });
      cluster.start('n4');
      await until(LIMIT_MS, 'n4 to be there', async () => (await cluster.statuses()).length === 4);
    },
    LIMIT_MS,
  );

  /** Lets n4 become what it is not: through a joint configuration and out of it. */
  async function changeRole(): Promise<void> {
    const client = await cluster.client(undefined, 2_000);
    try {
      const roleOf = async () =>
        (await client.cluster.members()).members.find(({ name }) => name === 'n4')?.role;
      const wanted = (await roleOf()) === 'learner' ? 'voter' : 'learner';
      await until(LIMIT_MS, `n4 to be a ${wanted}`, async () => {
        if ((await roleOf()) === wanted) return true;
        const request = { member: 'n4' };
        await (wanted === 'voter' ? client.cluster.promote(request) : client.cluster.demote(request));
        return false;
      });
    } finally {
      await client.close();
    }
  }

  const steps: [FailpointName, string, 'leader' | 'follower', number][] = (
    ['configurationBeforeSave', 'configurationAfterSave', 'beforeApplyConf', 'afterApplyConf'] as const
  ).flatMap((point) => [
    [point, 'entered', 'leader', 1],
    [point, 'left', 'leader', 2],
  ]);
  steps.push(
    ['configurationAfterSave', 'left', 'follower', 2],
    ['beforeApplyConf', 'entered', 'follower', 1],
  );

  it.each(steps)(
    'at %s, when a joint configuration is %s, the %s dies: the change is finished',
    async (point, _step, role, at) => {
      const victim = role === 'leader' ? await cluster.leader() : await failing.follower();
      await failing.arm(victim, `${point}:exit@${at}`);
      const changed = changeRole();
      await failing.untilDead(victim, point);
      passed.add(point);
      await changed;
      await startAgain(victim);
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
    expect([...passed].toSorted()).toEqual(Object.keys(FAILPOINTS).toSorted());
  },
  LIMIT_MS,
);
