import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { systemClock } from '../../../src/base/clock.ts';
import type { MemoryWrite } from '../../../src/replication/wal/memoryWal.ts';
import { TestAuthority, testNodeId } from '../transport/certificates.ts';
import { waitFor } from '../transport/waitFor.ts';
import { keeping, TestCluster, type TestClusterOptions, type TestNode } from './testCluster.ts';

let authority: TestAuthority;
let cluster: TestCluster;

beforeAll(async () => {
  authority = await TestAuthority.create();
});

afterEach(async () => {
  await cluster.close();
});

async function start(options: Partial<TestClusterOptions> = {}): Promise<TestNode> {
  cluster = await TestCluster.start({ authority, size: 3, ...options });
  return await cluster.awaitLeader();
}

function digests(): string[] {
  return [...new Set([...cluster.nodes.values()].map(({ state }) => state.digest))];
}

function follower(leader: TestNode): TestNode {
  return present(
    [...cluster.nodes.values()].find(({ nodeId }) => nodeId !== leader.nodeId),
    'a follower',
  );
}

const soon = (): number => systemClock.monotonicMs() + 5_000;

test('what is proposed is applied on all nodes, in order', async () => {
  await start();
  for (let i = 0; i < 50; i += 1) await cluster.propose(`v${i}`);
  await cluster.awaitValues(50);
  expect(digests()).toHaveLength(1);
  expect(cluster.leader()?.state.values).toEqual(Array.from({ length: 50 }, (_, i) => `v${i}`));
});

test('proposals of one turn are one write and one append to each peer', async () => {
  const leader = await start();
  await cluster.propose('first');
  await cluster.awaitValues(1);
  let writes = 0;
  cluster.onWrite.set(leader.nodeId, (write) => {
    writes += 1;
    write.complete();
  });
  for (let i = 0; i < 100; i += 1) leader.log.propose(() => Buffer.from(`v${i}`));
  await cluster.awaitValues(101);
  expect(writes).toBe(1);
  expect(digests()).toHaveLength(1);
});

test('a leader that dies is replaced, and nothing that was applied is lost', async () => {
  const leader = await start();
  for (let i = 0; i < 20; i += 1) await cluster.propose(`v${i}`);
  await waitFor(() => leader.state.values.length === 20);
  await cluster.stopNode(leader.nodeId);
  await cluster.awaitLeader();
  await cluster.propose('after');
  await cluster.awaitValues(21);
  await cluster.startNode(leader.nodeId);
  await cluster.awaitValues(21);
  expect(digests()).toHaveLength(1);
  expect(follower(leader).state.values.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, i) => `v${i}`));
});

test('a follower that was away catches up from the log', async () => {
  const leader = await start();
  const away = follower(leader).nodeId;
  await cluster.stopNode(away);
  for (let i = 0; i < 30; i += 1) await cluster.propose(`v${i}`);
  const node = await cluster.startNode(away);
  await cluster.awaitValues(30);
  expect(node.state.installed).toBe(0);
  expect(digests()).toHaveLength(1);
});

test('a follower far behind gets a snapshot, and the log after it', async () => {
  const leader = await start({ timing: keeping(10), rowBytes: 100_000 });
  const away = follower(leader).nodeId;
  await cluster.stopNode(away);
  for (let i = 0; i < 60; i += 1) await cluster.propose(`v${i}`);
  await cluster.awaitValues(60);
  for (const { log, state } of cluster.nodes.values()) log.durable(state.flush());
  expect(leader.log.status().firstIndex).toBeGreaterThan(40);
  await waitFor(() => (cluster.walDisks.get(leader.nodeId)?.shape?.base.index ?? 0) > 40);
  const node = await cluster.startNode(away);
  await cluster.propose('later');
  await cluster.awaitValues(61);
  expect(node.state.installed).toBe(1);
  expect(digests()).toHaveLength(1);
  await cluster.stopNode(away);
  await cluster.startNode(away);
  await cluster.propose('last');
  await cluster.awaitValues(62);
  expect(digests()).toHaveLength(1);
});

test('a follower whose snapshot takes longer than the log lasts pulls one, and goes on with the log', async () => {
  const leader = await start({ timing: keeping(10, 1_000) });
  const away = follower(leader).nodeId;
  await cluster.stopNode(away);
  for (let i = 0; i < 60; i += 1) await cluster.propose(`v${i}`);
  await waitFor(() => {
    leader.log.durable(leader.state.flush());
    return leader.log.status().firstIndex > 40;
  });
  const node = await cluster.startNode(away);
  let install = (): void => undefined;
  node.state.installsWait = new Promise((resolve) => {
    install = resolve;
  });
  await waitFor(() => node.state.installsBegun === 1);
  expect(leader.log.status().progress.some(({ state }) => state === 'snapshot')).toBe(true);
  for (let i = 60; i < 160; i += 1) await cluster.propose(`v${i}`);
  const others = [...cluster.nodes.values()].filter(({ nodeId }) => nodeId !== away);
  await waitFor(() => others.every(({ state }) => state.values.length === 160));
  leader.log.durable(leader.state.flush());
  expect(leader.log.status().firstIndex).toBeLessThan(80);
  install();
  await cluster.awaitValues(160);
  expect(node.state.installed).toBe(1);
  await waitFor(() => {
    leader.log.durable(leader.state.flush());
    return leader.log.status().firstIndex > 140;
  });
});

test.each([0, 10_000])(
  'a node that lost its state gets it from the leader, and goes on with its own log (%s entries kept)',
  async (trailingEntries) => {
    const leader = await start({ timing: keeping(trailingEntries) });
    const damaged = follower(leader).nodeId;
    for (let i = 0; i < 30; i += 1) await cluster.propose(`v${i}`);
    await cluster.awaitValues(30);
    for (const { log, state } of cluster.nodes.values()) log.durable(state.flush());
    await cluster.stopNode(damaged);
    const node = await cluster.startNode(damaged, { stateMissing: true });
    await cluster.propose('later');
    await cluster.awaitValues(31);
    expect(node.state.installed).toBe(1);
    expect(digests()).toHaveLength(1);
    expect(node.state.entries[0]?.index ?? 0).toBeGreaterThan(30);
    expect(node.fatal).toEqual([]);
  },
);

test('a stop between installing a snapshot and restarting the log from it is mended at start', async () => {
  const leader = await start({ timing: keeping(10) });
  const away = follower(leader).nodeId;
  await cluster.stopNode(away);
  for (let i = 0; i < 30; i += 1) await cluster.propose(`v${i}`);
  await cluster.awaitValues(30);
  const disk = present(cluster.stateDisks.get(away), 'disk');
  disk.applied = leader.state.applied;
  disk.values = [...leader.state.values];
  const node = await cluster.startNode(away);
  await cluster.propose('later');
  await cluster.awaitValues(31);
  expect(node.state.installed).toBe(0);
  expect(digests()).toHaveLength(1);
});

test('a read barrier covers every write before it, at leader and followers, also after a failover', async () => {
  const leader = await start();
  await cluster.propose('a');
  await waitFor(() => leader.state.values.length === 1);
  const written = leader.state.applied.index;
  for (const { log } of cluster.nodes.values()) {
    expect(await log.readBarrier(soon())).toBeGreaterThanOrEqual(written);
  }
  await cluster.stopNode(leader.nodeId);
  const barriers = [...cluster.nodes.values()].map(({ log }) => log.readBarrier(soon()));
  for (const index of await Promise.all(barriers)) expect(index).toBeGreaterThanOrEqual(written);
});

test('without a quorum a read barrier ends at its deadline', async () => {
  const leader = await start();
  const others = cluster.ids.filter((nodeId) => nodeId !== leader.nodeId);
  for (const nodeId of others) await cluster.stopNode(nodeId);
  await expect(leader.log.readBarrier(systemClock.monotonicMs() + 200)).rejects.toMatchObject({
    code: expect.stringMatching(/^(DEADLINE_EXCEEDED|NO_LEADER)$/),
  });
  await waitFor(() => leader.state.leadership.leader === null);
  await expect(leader.log.readBarrier(systemClock.monotonicMs() + 100)).rejects.toMatchObject({
    code: 'NO_LEADER',
  });
});

test('payloads of 2 MiB are replicated, and heartbeats go on meanwhile', async () => {
  const leader = await start();
  for (let i = 0; i < 12; i += 1) {
    leader.log.propose(() => Buffer.alloc(2 * 1024 * 1024, `${i % 10}`));
  }
  await cluster.awaitValues(12);
  expect(digests()).toHaveLength(1);
  expect(cluster.leader()?.nodeId).toBe(leader.nodeId);
});

test('a leader whose disk hangs is replaced, and stops in the end', async () => {
  const leader = await start({ timing: { diskStallFatalMs: 2_500 } });
  const held: MemoryWrite[] = [];
  cluster.onWrite.set(leader.nodeId, (write) => held.push(write));
  leader.log.propose(() => Buffer.from('stuck'));
  await waitFor(() => [...cluster.nodes.values()].some((n) => n !== leader && n.state.leadership.isLeader));
  expect(leader.fatal).toEqual([]);
  await waitFor(() => leader.fatal.length === 1);
  expect(leader.fatal[0]?.code).toBe('DISK_FAILED');
  expect(leader.log.propose(() => Buffer.from('x'))).toEqual({ refused: 'stopped' });
  cluster.onWrite.delete(leader.nodeId);
  for (const write of held) write.complete();
});

test('a disk that fails stops the node before it acknowledges anything more', async () => {
  const leader = await start();
  cluster.onWrite.set(leader.nodeId, (write) => write.fail(new Error('EIO')));
  leader.log.propose(() => Buffer.from('x'));
  await waitFor(() => leader.fatal.length === 1);
  expect(leader.fatal[0]?.code).toBe('DISK_FAILED');
  expect(leader.state.values).toEqual([]);
});

test('a joiner becomes a learner, then a voter', async () => {
  const leader = await start();
  await cluster.propose('before');
  const joiner = testNodeId(9);
  const node = await cluster.startNode(joiner, { joiner: true });
  const context = (): Uint8Array => Buffer.from('context');
  await waitFor(
    () =>
      'place' in leader.log.proposeMembership([{ kind: 'set', nodeId: joiner, role: 'learner' }], context),
  );
  // Who begins with nothing gets the members, and so all else, by a snapshot of the durable state.
  await waitFor(() => leader.log.status().configuration.learners.includes(joiner));
  leader.state.flush();
  await cluster.awaitValues(1);
  expect(node.state.installed).toBe(1);
  await waitFor(
    () => 'place' in leader.log.proposeMembership([{ kind: 'set', nodeId: joiner, role: 'voter' }], context),
  );
  await waitFor(() => node.log.status().configuration.voters.includes(joiner), {
    describe: () => cluster.describe(),
  });
  await waitFor(() => leader.log.status().configuration.votersOutgoing.length === 0);
  leader.log.transferLeadership(joiner);
  await waitFor(() => node.state.leadership.isLeader, { describe: () => cluster.describe() });
});

test('leadership moves on request, asked of any node', async () => {
  const leader = await start();
  await cluster.propose('a');
  await cluster.awaitValues(1);
  const target = follower(leader);
  target.log.transferLeadership(target.nodeId);
  await waitFor(() => target.state.leadership.isLeader, { describe: () => cluster.describe() });
});

test('forwards reach the leader; what it does not take comes back refused', async () => {
  const leader = await start();
  const other = follower(leader);
  leader.state.onForward = (text) => text !== 'no';
  expect(leader.log.forward({ sequence: 1, envelope: Buffer.from('self') })).toBe(false);
  await waitFor(() => other.log.forward({ sequence: 7, envelope: Buffer.from('yes') }));
  await waitFor(() => other.log.forward({ sequence: 8, envelope: Buffer.from('no') }));
  await waitFor(() => other.state.forwardsRefused.length === 1);
  expect(other.state.forwardsRefused).toEqual([8]);
  expect(leader.state.forwards.map(({ sequence }) => sequence)).toEqual([7, 8]);
});

test('clocks of other voters are known', async () => {
  const leader = await start();
  await waitFor(() => leader.log.voterClocks().othersAheadMs.length === 2);
  expect(leader.log.voterClocks().voterCount).toBe(3);
  for (const aheadMs of leader.log.voterClocks().othersAheadMs) expect(Math.abs(aheadMs)).toBeLessThan(5_000);
});

test('all nodes stop and start again on real disks', async () => {
  const walDirectory = await mkdtemp(join(tmpdir(), 'holdfast-raft-log-'));
  try {
    await start({ walDirectory, timing: keeping(20) });
    for (let i = 0; i < 100; i += 1) await cluster.propose(`v${i}`);
    await cluster.awaitValues(100);
    // One state is far behind its log, one is not, one was never written.
    const [first, second] = [...cluster.nodes.values()];
    for (const node of [first, second]) node?.log.durable(node.state.flush());
    for (let i = 100; i < 120; i += 1) await cluster.propose(`v${i}`);
    await cluster.awaitValues(120);
    second?.state.flush();
    for (const nodeId of cluster.ids) await cluster.stopNode(nodeId);
    for (const nodeId of cluster.ids) await cluster.startNode(nodeId);
    await cluster.awaitLeader();
    await cluster.propose('after');
    await cluster.awaitValues(121);
    expect(digests()).toHaveLength(1);
  } finally {
    await cluster.close();
    await rm(walDirectory, { recursive: true, force: true });
  }
});
