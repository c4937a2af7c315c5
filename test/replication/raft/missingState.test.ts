import { describe, expect, test } from 'vitest';
import { Cluster, type Machine, nodeId } from './cluster.ts';

/** Three voters with a compacted log; node 3 has lost its state and starts again. */
function damaged({ compact = true } = {}): Cluster {
  const cluster = new Cluster({ voters: [1, 2, 3] });
  cluster.elect(1);
  for (let at = 0; at < 10; at += 1) cluster.propose(1, `x${at}`);
  cluster.settle();
  cluster.tickAll(2);
  for (const number of [1, 2, 3]) {
    cluster.checkpoint(cluster.machine(number));
    if (compact) cluster.compact(cluster.machine(number), 4);
  }
  loseState(cluster, cluster.machine(3));
  cluster.start(cluster.machine(3));
  return cluster;
}

/** Stops a machine and takes its state away, not its log. */
function loseState(cluster: Cluster, machine: Machine): void {
  cluster.crash(machine);
  const { index, term, hash, configuration } = machine.disk.base;
  machine.disk.state = { index, term, digest: Buffer.from(hash).toString('hex'), configuration };
  machine.stateMissing = true;
}

describe('a node whose state is lost and whose log is not', () => {
  test.each([true, false])('takes the state from the leader and goes on (compacted: %s)', (compact) => {
    const cluster = damaged({ compact });
    cluster.tickAll(3);
    cluster.propose(1, 'after');
    cluster.settle();
    cluster.tickAll(2);
    expect(cluster.machine(3).stateMissing).toBe(false);
    expect(cluster.machine(3).digest).toBe(cluster.machine(1).digest);
    expect(cluster.machine(3).appliedPayloads.at(-1)).toBe('after');
  });

  test('asks for a snapshot at or above its base, applies nothing and does not campaign until it is there', () => {
    const cluster = damaged();
    const three = cluster.machine(3);
    const base = three.core.base.index;
    expect(base).toBeGreaterThan(0);
    // The leader's state is not that far yet, as far as a snapshot goes.
    cluster.machine(1).applyHeld = true;
    cluster.machine(1).applied = base - 1;
    cluster.propose(1, 'more');
    cluster.settle();
    cluster.tickAll(3);
    expect(three.core.status().commit).toBeGreaterThan(base);
    three.core.campaign();
    expect(three.core.status().role).toBe('follower');
    expect(three.core.status().applied).toBe(base);
    expect(three.applied).toBe(base);
  });

  test('takes a state that ends just where its own log begins', () => {
    const cluster = damaged();
    const three = cluster.core(3);
    const { base } = three;
    const { term, commit } = cluster.core(1).status();
    three.step({ type: 'heartbeat', from: nodeId(1), to: nodeId(3), term, commit, round: 0 });
    expect(three.ready()?.snapshotWanted).toMatchObject({ index: base.index });
    expect(three.snapshotFetched(base)).toBe(true);
    expect(three.ready()?.committed.map(({ index }) => index)[0]).toBe(base.index + 1);
  });

  test('acknowledges and votes: its log is whole', () => {
    const cluster = damaged();
    // Nobody can serve a snapshot: the third node stays without a state, and is the one that makes the majority.
    for (const number of [1, 2]) cluster.machine(number).applyHeld = true;
    cluster.isolate(2);
    cluster.lose = ({ from, to, type }) => [from, to].includes(nodeId(2)) || type === 'snapshotFailed';
    const before = cluster.core(1).status().commit;
    cluster.propose(1, 'with two');
    cluster.settle();
    expect(cluster.core(1).status().commit).toBeGreaterThan(before);
    cluster.core(3).step({
      type: 'preVote',
      from: nodeId(1),
      to: nodeId(3),
      term: 99,
      last: { index: 99, term: 98 },
      transfer: true,
    });
    cluster.settle();
    expect(cluster.sent.at(-1)).toMatchObject({ type: 'preVoteResponse', rejected: false });
  });

  test('asks once for as long as a pull takes', () => {
    const cluster = damaged();
    const { term } = cluster.core(1).status();
    const three = cluster.core(3);
    const wanted: unknown[] = [];
    for (let tick = 0; tick < 50; tick += 1) {
      three.tick();
      three.step({ type: 'heartbeat', from: nodeId(1), to: nodeId(3), term, commit: 0, round: 0 });
      wanted.push(three.ready()?.snapshotWanted ?? null);
    }
    expect(wanted.filter((one) => one !== null)).toHaveLength(1);
  });

  test('tries a failed pull again, but not at once', () => {
    const cluster = damaged();
    const { term } = cluster.core(1).status();
    const three = cluster.core(3);
    const heartbeat = () =>
      three.step({ type: 'heartbeat', from: nodeId(1), to: nodeId(3), term, commit: 0, round: 0 });
    heartbeat();
    expect(three.ready()?.snapshotWanted).toMatchObject({ from: nodeId(1), index: three.base.index });
    three.snapshotFailed();
    three.ready();
    heartbeat();
    expect(three.ready()?.snapshotWanted ?? null).toBeNull();
    for (let tick = 0; tick < 10; tick += 1) {
      three.tick();
      heartbeat();
    }
    expect(three.ready()?.snapshotWanted).toMatchObject({ from: nodeId(1) });
  });
});
