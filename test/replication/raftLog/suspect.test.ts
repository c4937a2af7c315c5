import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { HoldfastError } from '../../../src/base/errors.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import type { WriteAheadLog } from '../../../src/replication/wal/types.ts';
import { TestAuthority } from '../transport/certificates.ts';
import { waitFor } from '../transport/waitFor.ts';
import { recordOffsets } from '../wal/logOnDisk.ts';
import { TestCluster, type TestNode } from './testCluster.ts';

/** Enough for several elections. */
const ELECTIONS_MS = 1_000;
let authority: TestAuthority;
let cluster: TestCluster;
let walDirectory = '';

beforeAll(async () => {
  authority = await TestAuthority.create();
});

beforeEach(async () => {
  walDirectory = await mkdtemp(join(tmpdir(), 'holdfast-suspect-node-'));
});

afterEach(async () => {
  await cluster.close();
  await rm(walDirectory, { recursive: true, force: true });
});

function followersOf(leader: TestNode): [TestNode, TestNode] {
  const [one, two] = [...cluster.nodes.values()].filter(({ nodeId }) => nodeId !== leader.nodeId);
  return [present(one, 'a follower'), present(two, 'another follower')];
}

/** Proposes one at a time, so that the log has many records. */
async function fill(count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    await cluster.propose(`v${i}`);
    await cluster.awaitValues(i + 1);
  }
}

/** Zeros over the last `records` records of a stopped node's log. */
async function cutTail(nodeId: NodeId, records: number): Promise<void> {
  const directory = join(walDirectory, nodeId);
  const names = (await readdir(directory)).filter((name) => name.endsWith('.wal')).toSorted();
  const path = join(directory, present(names.at(-1), 'segment'));
  const bytes = await readFile(path);
  const offsets = recordOffsets(bytes);
  bytes.fill(0, offsets.at(-1 - records), offsets.at(-1));
  await writeFile(path, bytes);
}

const texts = (count: number): string[] => Array.from({ length: count }, (_, i) => `v${i}`);

async function trustedAgain({ log }: TestNode): Promise<void> {
  await waitFor(() => log.status().suspectUntil === null, { describe: () => cluster.describe() });
}

describe('a node whose acknowledged tail is gone', () => {
  beforeEach(async () => {
    cluster = await TestCluster.start({ authority, size: 3, walDirectory });
    await cluster.awaitLeader();
  });

  test('is replicated to anew by the leader that is left, and then makes a quorum with it', async () => {
    await fill(20);
    const leader = await cluster.awaitLeader();
    const [cut, dead] = followersOf(leader);
    await cluster.stopNode(cut.nodeId);
    await cutTail(cut.nodeId, 8);
    await cluster.stopNode(dead.nodeId);
    const back = await cluster.startNode(cut.nodeId);
    await cluster.propose('after');
    await cluster.awaitValues(21);
    expect(back.state.values).toEqual([...texts(20), 'after']);
    await trustedAgain(back);
    await cluster.stopNode(leader.nodeId);
    await cluster.startNode(dead.nodeId);
    await cluster.awaitLeader();
    await cluster.propose('last');
    await cluster.awaitValues(22);
    expect(back.state.values).toEqual([...texts(20), 'after', 'last']);
  });

  test('makes no leader of a node that lacks what was committed', async () => {
    await fill(10);
    const leader = await cluster.awaitLeader();
    const [cut, behind] = followersOf(leader);
    await cluster.stopNode(behind.nodeId);
    for (const text of texts(20).slice(10)) {
      await cluster.propose(text);
      await waitFor(() => leader.state.values.at(-1) === text && cut.state.values.at(-1) === text);
    }
    await cluster.stopNode(leader.nodeId);
    await cluster.stopNode(cut.nodeId);
    await cutTail(cut.nodeId, 12);
    const back = await cluster.startNode(cut.nodeId);
    const old = await cluster.startNode(behind.nodeId);
    // Its log is as long as that of the cut node now: only that it is suspect keeps the two from going on alone.
    await waitFor(() => old.log.status().role === 'preCandidate');
    const end = systemClock.monotonicMs() + ELECTIONS_MS;
    await waitFor(() => systemClock.monotonicMs() > end);
    expect([back.log.status().leader, old.log.status().leader]).toEqual([null, null]);
    await cluster.startNode(leader.nodeId);
    await cluster.awaitValues(20);
    expect(cluster.leader()?.nodeId).toBe(leader.nodeId);
    for (const { state } of cluster.nodes.values()) expect(state.values).toEqual(texts(20));
    await trustedAgain(back);
  });

  test('stays suspect over a restart, as long as no leader has mended it', async () => {
    await fill(10);
    const leader = await cluster.awaitLeader();
    const [cut, other] = followersOf(leader);
    for (const { nodeId } of [cut, leader, other]) await cluster.stopNode(nodeId);
    await cutTail(cut.nodeId, 4);
    for (let time = 0; time < 2; time += 1) {
      const { log } = await cluster.startNode(cut.nodeId);
      expect(log.status().suspectUntil).not.toBeNull();
      await cluster.stopNode(cut.nodeId);
    }
    for (const { nodeId } of [cut, leader, other]) await cluster.startNode(nodeId);
    await cluster.propose('after');
    await cluster.awaitValues(11);
    const back = present(cluster.nodes.get(cut.nodeId), 'node');
    await trustedAgain(back);
    await cluster.stopNode(cut.nodeId);
    expect((await cluster.startNode(cut.nodeId)).log.status().suspectUntil).toBeNull();
  });
});

test('the only voter of a cluster does not start on a suspect log', async () => {
  cluster = await TestCluster.start({ authority, size: 1, walDirectory });
  await cluster.awaitLeader();
  await fill(10);
  const [nodeId] = cluster.ids;
  const only = present(nodeId, 'node');
  await cluster.stopNode(only);
  await cutTail(only, 4);
  const starting = cluster.startNode(only);
  await expect(starting).rejects.toMatchObject({
    code: 'LOG_CORRUPT',
    hint: expect.stringContaining('no other node can give it back'),
  });
});

test('the only voter of a cluster begins its log anew with a state that holds all of it', async () => {
  const marks: unknown[] = [];
  const around = (wal: WriteAheadLog): WriteAheadLog => {
    const suspect = wal.suspect.bind(wal);
    return Object.assign(wal, {
      suspect: async (until: Parameters<typeof suspect>[0]) => {
        marks.push(until);
        await suspect(until);
      },
    });
  };
  cluster = await TestCluster.start({ authority, size: 1, walDirectory, flushes: true, around });
  await cluster.awaitLeader();
  await fill(10);
  const only = present(cluster.ids[0], 'node');
  await cluster.stopNode(only);
  await cutTail(only, 4);
  const back = await cluster.startNode(only);
  expect([back.log.status().suspectUntil, marks]).toEqual([null, [null]]);
  await cluster.awaitLeader();
  await cluster.propose('after');
  await waitFor(() => back.state.values.length === 11, { describe: () => cluster.describe() });
  await cluster.stopNode(only);
  const again = await cluster.startNode(only);
  expect(again.log.status().suspectUntil).toBeNull();
  await waitFor(() => again.state.values.length === 11);
  expect(again.state.values).toEqual([...texts(10), 'after']);
});

test('a log that fails while nothing is written stops the node', async () => {
  const failed = new HoldfastError('DISK_FAILED', 'EIO');
  let failure: HoldfastError | null = null;
  const around = (wal: WriteAheadLog): WriteAheadLog => ({
    append: (batch) => wal.append(batch),
    release: (metadata) => wal.release(metadata),
    roll: () => wal.roll(),
    suspect: (until) => wal.suspect(until),
    firstIndex: () => wal.firstIndex(),
    lastIndex: () => wal.lastIndex(),
    pendingWriteMs: () => wal.pendingWriteMs(),
    failure: () => failure,
    close: () => wal.close(),
  });
  cluster = await TestCluster.start({ authority, size: 1, around });
  const node = await cluster.awaitLeader();
  expect(node.fatal).toEqual([]);
  failure = failed;
  await waitFor(() => node.fatal.length > 0);
  expect(node.fatal).toEqual([failed]);
});
