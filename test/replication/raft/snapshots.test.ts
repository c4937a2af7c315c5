import { describe, expect, test } from 'vitest';
import { Cluster, configurationOf, nodeId } from './cluster.ts';

/** Node 3 sleeps while the others go on and drop their logs. */
function behind(): Cluster {
  const cluster = new Cluster({ voters: [1, 2, 3] });
  cluster.elect(1);
  cluster.isolate(3);
  for (let at = 0; at < 10; at += 1) cluster.propose(1, `x${at}`);
  cluster.settle();
  for (const number of [1, 2]) {
    cluster.checkpoint(cluster.machine(number));
    cluster.compact(cluster.machine(number), 2);
  }
  return cluster;
}

describe('snapshots', () => {
  test('a member that is too far behind is offered one, pulls it, and goes on with the log', () => {
    const cluster = behind();
    cluster.heal();
    cluster.tickAll(4);
    expect(cluster.sent.some((message) => message.type === 'snapshotOffer')).toBe(true);
    cluster.propose(1, 'after');
    cluster.settle();
    expect(cluster.machine(3).digest).toBe(cluster.machine(1).digest);
    expect(cluster.machine(3).appliedPayloads.at(-1)).toBe('after');
    expect(cluster.core(3).status().firstIndex).toBeGreaterThan(1);
    expect(
      cluster
        .core(1)
        .status()
        .progress.map(({ state }) => state),
    ).toEqual(['replicate', 'replicate', 'replicate']);
  });

  test('a failed pull is tried again, a lost offer too', () => {
    const cluster = behind();
    let offers = 0;
    cluster.lose = (message) => {
      if (message.type === 'snapshotOffer') offers += 1;
      return message.type === 'snapshotOffer' && offers === 1;
    };
    const held = cluster.machine(1).applied;
    cluster.machine(1).applied = 0;
    cluster.tickAll(3);
    expect(cluster.sent.some((message) => message.type === 'snapshotFailed')).toBe(true);
    cluster.machine(1).applied = held;
    cluster.tickAll(6);
    expect(cluster.machine(3).digest).toBe(cluster.machine(1).digest);
  });

  test('the log is replaced in one write; the ack waits for it', () => {
    const cluster = behind();
    const three = cluster.machine(3);
    three.diskHeld = true;
    cluster.heal();
    cluster.tickAll(2);
    const acks = () =>
      cluster.sent.filter(
        (message) => message.type === 'appendResponse' && message.from === three.id && message.index > 1,
      );
    const write = three.writes.find((batch) => batch.snapshot !== null);
    expect(write?.snapshot?.index).toBe(cluster.machine(1).applied);
    expect(acks().filter((message) => 'rejected' in message && !message.rejected)).toEqual([]);
    three.diskHeld = false;
    cluster.settle();
    expect(acks()).not.toEqual([]);
  });

  test('I20: nothing is applied and no election begins while a snapshot is on its way', () => {
    const cluster = behind();
    const three = cluster.machine(3);
    const { term } = cluster.core(1).status();
    three.core.step({ type: 'snapshotOffer', from: nodeId(1), to: three.id, term, index: 8 });
    expect(three.core.ready()?.snapshotWanted).toEqual({ from: nodeId(1), index: 8 });
    expect(three.core.ready()).toBeNull();
    three.core.campaign();
    expect(three.core.status().role).toBe('follower');
    three.core.snapshotFailed();
    three.core.campaign();
    expect(three.core.status().role).toBe('preCandidate');
  });

  test('I20: what was committed waits until the snapshot is there or has failed', () => {
    const { cluster } = slowDisk();
    const two = cluster.machine(2);
    two.core.step({ type: 'snapshotOffer', from: nodeId(1), to: two.id, term: 1, index: 20 });
    while (two.writes.length > 0) cluster.completeWrite(two);
    cluster.drain(two);
    expect([two.core.stableIndex, two.toApply.length]).toEqual([6, 0]);
    two.core.snapshotFailed();
    cluster.drain(two);
    expect(two.toApply.map((entry) => entry.index)).toEqual([2, 3, 4, 5, 6]);
  });

  test('a snapshot that is not ahead of the state is refused; one of a place in the log keeps the log', () => {
    const { cluster, metadata } = slowDisk();
    const two = cluster.core(2);
    expect(two.status()).toMatchObject({ applied: 1, commit: 6, lastIndex: 6 });
    expect(two.snapshotFetched(metadata(1))).toBe(false);
    expect(two.snapshotFetched(metadata(4))).toBe(true);
    expect(two.status()).toMatchObject({ applied: 4, commit: 6, firstIndex: 1, lastIndex: 6 });
    expect(cluster.core(1).snapshotFetched(metadata(6))).toBe(false);
  });

  test('a snapshot that contradicts the committed log stops the node', () => {
    const { cluster, metadata } = slowDisk();
    const wrong = { ...metadata(4), hash: new Uint8Array(32) };
    expect(() => cluster.core(2).snapshotFetched(wrong)).toThrow('I24');
  });

  test('a node without any configuration starts from a snapshot, even when the whole log is there', () => {
    const cluster = new Cluster({ voters: [1] });
    cluster.elect(1);
    const two = cluster.join(2);
    cluster
      .core(1)
      .proposeConfiguration([{ kind: 'set', nodeId: two.id, role: 'learner' }], () => new Uint8Array(0));
    cluster.settle();
    cluster.tickAll(3);
    expect(two.core.configuration).toEqual(configurationOf([1], [2]));
    expect(two.digest).toBe(cluster.machine(1).digest);
    cluster.crash(two);
    cluster.start(two);
    cluster.propose(1, 'x');
    cluster.tickAll(3);
    expect(two.digest).toBe(cluster.machine(1).digest);
  });

  test('the base keeps the configuration that was in force there', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    cluster.core(1).proposeConfiguration([{ kind: 'remove', nodeId: nodeId(3) }], () => new Uint8Array(0));
    cluster.settle();
    const one = cluster.machine(1);
    const place = one.core.status().applied;
    one.core.compact({ index: 2 });
    expect(one.core.base.configuration).toMatchObject({ autoLeave: true, voters: [nodeId(1), nodeId(2)] });
    one.core.compact({ index: place });
    expect(one.core.base).toMatchObject({ index: place, configuration: configurationOf([1, 2]) });
  });
});

/** Node 2 holds and knows as committed what its disk has not confirmed yet, so it has not been handed out. */
function slowDisk() {
  const cluster = new Cluster({ voters: [1, 2, 3] });
  cluster.elect(1);
  cluster.tickAll(1);
  cluster.machine(2).diskHeld = true;
  for (let at = 0; at < 5; at += 1) cluster.propose(1, `x${at}`);
  cluster.settle();
  const metadata = (index: number) => ({
    index,
    term: 1,
    hash: cluster.core(1).hashAt(index) ?? new Uint8Array(0),
    configuration: configurationOf([1, 2, 3]),
  });
  return { cluster, metadata };
}
