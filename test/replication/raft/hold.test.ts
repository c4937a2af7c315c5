import { describe, expect, it } from 'vitest';
import type { Message } from '../../../src/replication/raft/types.ts';
import { Cluster, nodeId } from './cluster.ts';

function elected(): Cluster {
  const cluster = new Cluster({ voters: [1, 2, 3] });
  cluster.elect(1);
  return cluster;
}

/** So many entries, each filling an append. */
function write(cluster: Cluster, count: number): void {
  for (let i = 0; i < count; i += 1) {
    cluster.propose(1, 'x'.repeat(1_000));
    cluster.settle();
  }
}

function appendsTo(cluster: Cluster, number: number): Extract<Message, { type: 'append' }>[] {
  return cluster.sent.filter(
    (message) => message.type === 'append' && message.to === nodeId(number),
  ) as never;
}

const matchOf = (cluster: Cluster, number: number): number | undefined =>
  cluster
    .core(1)
    .status()
    .progress.find((member) => member.nodeId === nodeId(number))?.match;

describe('a node whose host has no room for entries (I41)', () => {
  it('takes none, while the others go on, and is sent no more than a window of them', () => {
    const cluster = elected();
    write(cluster, 2);
    const before = cluster.core(3).status().lastIndex;
    cluster.core(3).hold({ entries: true, committed: false });
    cluster.sent.length = 0;
    write(cluster, 40);
    cluster.tickAll(50);
    expect(cluster.core(3).status().lastIndex).toBe(before);
    expect([cluster.core(1).status().commit, cluster.core(2).status().commit]).toEqual([43, 43]);
    const carried = appendsTo(cluster, 3).filter(({ entries }) => entries.length > 0);
    expect(carried.length).toBeGreaterThan(0);
    expect(carried.length).toBeLessThanOrEqual(8);
    expect(cluster.core(1).status().role).toBe('leader');
  });

  it('has all of it soon after there is room again', () => {
    const cluster = elected();
    cluster.core(3).hold({ entries: true, committed: false });
    write(cluster, 40);
    cluster.tickAll(5);
    cluster.core(3).hold({ entries: false, committed: false });
    cluster.tickAll(2);
    expect(cluster.core(3).status()).toMatchObject({ lastIndex: 41, commit: 41, applied: 41 });
  });

  it('acknowledges what it holds, again after an answer was lost: it may be needed for the quorum', () => {
    const cluster = elected();
    cluster.crash(cluster.machine(2));
    cluster.lose = ({ type, from }) => type === 'appendResponse' && from === nodeId(3);
    write(cluster, 3);
    cluster.core(3).hold({ entries: true, committed: false });
    write(cluster, 3);
    expect(cluster.core(1).status().commit).toBe(1);
    cluster.heal();
    cluster.tickAll(3);
    expect(cluster.core(3).status()).toMatchObject({ lastIndex: 4, commit: 4, applied: 4 });
    expect([matchOf(cluster, 3), cluster.core(1).status().commit]).toEqual([4, 4]);
  });

  it('tells a new leader how far it goes, and takes that for the quorum', () => {
    const cluster = elected();
    write(cluster, 3);
    cluster.isolate(3);
    write(cluster, 3);
    cluster.heal();
    cluster.core(3).hold({ entries: true, committed: false });
    cluster.crash(cluster.machine(1));
    cluster.tickAll(100);
    expect(cluster.core(3).status()).toMatchObject({ lastIndex: 4, leader: nodeId(2) });
    const member = cluster
      .core(2)
      .status()
      .progress.find((one) => one.nodeId === nodeId(3));
    expect(member).toMatchObject({ match: 4, state: 'replicate' });
    cluster.core(3).hold({ entries: false, committed: false });
    cluster.tickAll(2);
    expect(cluster.core(2).status()).toMatchObject({ commit: 8, lastIndex: 8 });
  });
});

describe('a node whose host has no room for what is committed', () => {
  it('hands nothing out, and goes on where it stopped', () => {
    const cluster = elected();
    write(cluster, 2);
    cluster.core(3).hold({ entries: false, committed: true });
    write(cluster, 10);
    cluster.tickAll(5);
    expect(cluster.core(3).status()).toMatchObject({ lastIndex: 13, commit: 13, applied: 3 });
    cluster.core(3).hold({ entries: false, committed: false });
    cluster.tickAll(1);
    expect(cluster.core(3).status().applied).toBe(13);
  });
});
