import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import type { RaftLogTiming } from '../../../src/replication/raftLog/options.ts';
import { TestAuthority } from '../transport/certificates.ts';
import { waitFor } from '../transport/waitFor.ts';
import { keeping, TestCluster, type TestNode } from './testCluster.ts';

const BACKLOG_BYTES = 20_000;
const APPEND_BYTES = 2_000;
const IN_FLIGHT_BYTES = 4_000;
const UNCOMMITTED_BYTES = 4_000;
/** All that a node may hold above what it has applied; what is on its way comes on top of the bound. */
const HELD_BYTES = BACKLOG_BYTES + UNCOMMITTED_BYTES + 2 * IN_FLIGHT_BYTES;
const VALUE = 'v'.repeat(90);
const ENTRY_BYTES = VALUE.length + 64;

let authority: TestAuthority;
let cluster: TestCluster;

beforeAll(async () => {
  authority = await TestAuthority.create();
});

afterEach(async () => {
  await cluster.close();
});

async function start(timing: Partial<RaftLogTiming> = {}): Promise<TestNode> {
  cluster = await TestCluster.start({
    authority,
    size: 3,
    timing: { ...timing, backlogBytesMax: BACKLOG_BYTES },
    bounds: {
      appendBytesMax: APPEND_BYTES,
      inFlightBytesMax: IN_FLIGHT_BYTES,
      uncommittedBytesMax: UNCOMMITTED_BYTES,
    },
    flushes: true,
  });
  return await cluster.awaitLeader();
}

function followersOf(leader: TestNode): [TestNode, TestNode] {
  const [one, two] = [...cluster.nodes.values()].filter(({ nodeId }) => nodeId !== leader.nodeId);
  return [present(one, 'a follower'), present(two, 'another follower')];
}

/** Until the leader has applied them. */
async function write(leader: TestNode, count: number): Promise<void> {
  const end = leader.state.values.length + count;
  for (let i = 0; i < count; i += 1) await cluster.propose(VALUE);
  await waitFor(() => leader.state.values.length === end, { describe: () => cluster.describe() });
}

const heldBytes = ({ log }: TestNode): number => {
  const { lastIndex, applied } = log.status();
  return (lastIndex - applied) * ENTRY_BYTES;
};

const isFull = (node: TestNode): boolean => heldBytes(node) >= BACKLOG_BYTES - APPEND_BYTES;

describe('a follower whose state does not come to disk', () => {
  test('applies no more than its store takes, and all of it once that is on disk', async () => {
    const leader = await start();
    const [slow] = followersOf(leader);
    slow.state.diskHangs = true;
    slow.state.unflushedMax = 10;
    await write(leader, 100);
    await waitFor(() => slow.log.status().commit === leader.log.status().commit);
    const inOneGo = APPEND_BYTES / ENTRY_BYTES + 1;
    expect(slow.state.values.length).toBeGreaterThan(10);
    expect(slow.state.values.length).toBeLessThanOrEqual(10 + inOneGo);
    expect(leader.log.status().role).toBe('leader');
    slow.state.diskHangs = false;
    slow.log.durable(slow.state.flush());
    await cluster.awaitValues(100);
  });

  test('takes no more entries than its backlog has room for, while the others go on; then catches up', async () => {
    const leader = await start();
    const [slow, other] = followersOf(leader);
    const { term } = leader.log.status();
    slow.state.diskHangs = true;
    slow.state.unflushedMax = 10;
    await write(leader, 400);
    await waitFor(() => other.state.values.length === 400);
    expect(isFull(slow)).toBe(true);
    expect(heldBytes(slow)).toBeLessThan(HELD_BYTES);
    expect(leader.log.status()).toMatchObject({ role: 'leader', term });
    slow.state.diskHangs = false;
    slow.log.durable(slow.state.flush());
    await cluster.awaitValues(400);
    expect(new Set([...cluster.nodes.values()].map(({ state }) => state.digest)).size).toBe(1);
  });

  test('catches up by a snapshot when the leader has forgotten the entries meanwhile', async () => {
    const leader = await start(keeping(10));
    const [slow] = followersOf(leader);
    slow.state.diskHangs = true;
    slow.state.unflushedMax = 10;
    await write(leader, 400);
    await waitFor(() => leader.log.status().firstIndex > slow.log.status().lastIndex + 1);
    slow.state.diskHangs = false;
    slow.log.durable(slow.state.flush());
    await cluster.awaitValues(400);
    expect(slow.state.installed).toBeGreaterThan(0);
  });

  test('does not hold up a quorum for good that needs it', async () => {
    const leader = await start();
    const [slow, dead] = followersOf(leader);
    await cluster.stopNode(dead.nodeId);
    slow.state.diskHangs = true;
    slow.state.unflushedMax = 10;
    const written = write(leader, 400);
    await waitFor(() => leader.log.status().commit < leader.log.status().lastIndex && isFull(slow));
    slow.state.diskHangs = false;
    slow.log.durable(slow.state.flush());
    await written;
    await cluster.awaitValues(400);
  });
});

describe('a follower without a state', () => {
  test('keeps no more entries than the bound until its snapshot comes', async () => {
    const leader = await start();
    const [lost] = followersOf(leader);
    await write(leader, 10);
    await cluster.stopNode(lost.nodeId);
    let snapshotMayGo = (): void => undefined;
    leader.state.snapshotsWait = new Promise((resolve) => {
      snapshotMayGo = () => resolve();
    });
    const back = await cluster.startNode(lost.nodeId, { stateMissing: true });
    await write(leader, 400);
    expect(back.state.values).toEqual([]);
    expect(isFull(back)).toBe(true);
    expect(heldBytes(back)).toBeLessThan(HELD_BYTES);
    snapshotMayGo();
    await cluster.awaitValues(410);
    expect(back.state.installed).toBe(1);
    expect(back.state.digest).toBe(leader.state.digest);
  });
});

test('a leader whose own backlog is full turns proposals away, until it is on disk', async () => {
  const leader = await start();
  leader.state.diskHangs = true;
  leader.state.unflushedMax = 10;
  await waitFor(() => {
    const outcome = leader.log.propose(() => Buffer.from(VALUE));
    return 'refused' in outcome && outcome.refused === 'overloaded';
  });
  expect(heldBytes(leader)).toBeLessThan(HELD_BYTES);
  leader.state.diskHangs = false;
  leader.log.durable(leader.state.flush());
  await cluster.propose(VALUE);
  await waitFor(() => leader.state.applied.index === leader.log.status().lastIndex);
  expect(leader.log.status().role).toBe('leader');
});
