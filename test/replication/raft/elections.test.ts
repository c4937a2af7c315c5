import { describe, expect, test } from 'vitest';
import { ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import type { Message } from '../../../src/replication/raft/types.ts';
import { Cluster, nodeId } from './cluster.ts';

const three = { voters: [1, 2, 3] };

describe('elections', () => {
  test('time alone elects exactly one leader', () => {
    const cluster = new Cluster(three);
    cluster.tickAll(60);
    expect(cluster.leaders).toHaveLength(1);
    for (const machine of cluster.machines.values()) {
      expect(machine.core.status().leader).toBe(cluster.leaders[0]?.id);
    }
  });

  test('I14: a node that was cut off disturbs nobody when it comes back', () => {
    const cluster = new Cluster(three);
    cluster.elect(1);
    const { term } = cluster.core(1).status();
    cluster.isolate(3);
    cluster.tickAll(100);
    expect(cluster.core(3).status()).toMatchObject({ role: 'preCandidate', term });
    cluster.heal();
    cluster.tickAll(30);
    expect(cluster.core(1).status()).toMatchObject({ role: 'leader', term });
    expect(cluster.core(3).status()).toMatchObject({ role: 'follower', term, leader: nodeId(1) });
  });

  test('a leader that no quorum answers steps down (CheckQuorum)', () => {
    const cluster = new Cluster(three);
    cluster.elect(1);
    cluster.isolate(1);
    for (let tick = 0; tick < 21; tick += 1) cluster.tick(1);
    expect(cluster.core(1).status()).toMatchObject({ role: 'follower', leader: null });
  });

  test('a member is reachable for as long as it counts in the quorum check, whenever that was', () => {
    const cluster = new Cluster(three);
    cluster.elect(1);
    cluster.tickAll(25);
    const reachable = (): readonly boolean[] =>
      cluster
        .core(1)
        .status()
        .progress.map((member) => member.reachable);
    cluster.lose = (message) => message.from === nodeId(3);
    for (let tick = 0; tick < 9; tick += 1) {
      cluster.tickAll();
      expect(reachable()).toEqual([true, true, true]);
    }
    cluster.tickAll(2);
    expect(reachable()).toEqual([true, true, false]);
    cluster.lose = () => false;
    cluster.tickAll();
    expect(reachable()).toEqual([true, true, true]);
  });

  test('I38: an asymmetric cut changes neither term nor leader', () => {
    const cluster = new Cluster(three);
    cluster.elect(1);
    const { term } = cluster.core(1).status();
    // Node 3 hears nothing from the leader, but everybody hears node 3.
    cluster.lose = (message) => message.from === nodeId(1) && message.to === nodeId(3);
    cluster.tickAll(300);
    expect(cluster.core(1).status()).toMatchObject({ role: 'leader', term });
    expect(cluster.core(2).status()).toMatchObject({ leader: nodeId(1), term });
  });

  test('a follower that hears its leader ignores even a real candidate of a later term', () => {
    const cluster = new Cluster(three);
    cluster.elect(1);
    const { term } = cluster.core(1).status();
    cluster.core(2).step(voteFrom(3, 2, term + 5));
    expect(cluster.core(2).status().term).toBe(term);
    expect(cluster.core(2).dropped.get('sticky')).toBe(1);
    // The leader itself ignores it too.
    cluster.core(1).step(voteFrom(3, 1, term + 5));
    expect(cluster.core(1).status().role).toBe('leader');
  });

  test('a follower whose leader is silent takes a far later term, and answers', () => {
    const cluster = new Cluster(three);
    cluster.elect(1);
    cluster.isolate(1);
    for (let tick = 0; tick < 10; tick += 1) cluster.core(2).tick();
    cluster.core(2).step(voteFrom(3, 2, 1_000_000, { index: 99, term: 1_000 }));
    expect(cluster.core(2).status()).toMatchObject({ term: 1_000_000, vote: nodeId(3) });
  });

  test('I11: a vote and a candidacy leave only when they are durable', () => {
    const cluster = new Cluster(three);
    const [one, two] = [cluster.machine(1), cluster.machine(2)];
    one.diskHeld = true;
    two.diskHeld = true;
    one.core.campaign();
    cluster.settle();
    expect(cluster.sent.filter((message) => message.type === 'vote')).toHaveLength(0);
    cluster.completeWrite(one);
    cluster.settle();
    const votes = () => cluster.sent.filter(({ type, from }) => type === 'voteResponse' && from === two.id);
    expect(two.core.status().vote).toBe(one.id);
    expect(votes()).toHaveLength(0);
    cluster.completeWrite(two);
    expect(votes()).toHaveLength(1);
  });

  test('I1: the term that is on the disk, and would be there after a crash, is another one than the present one', () => {
    const cluster = new Cluster(three);
    const one = cluster.machine(1);
    one.diskHeld = true;
    one.core.campaign();
    cluster.settle();
    expect(one.core.status()).toMatchObject({ term: 1, durableTerm: 0 });
    cluster.completeWrite(one);
    expect(one.core.status()).toMatchObject({ term: 1, durableTerm: 1 });
    cluster.crash(one);
    cluster.start(one);
    expect(one.core.status().durableTerm).toBe(1);
  });

  test('I11: the own vote counts only when it is durable', () => {
    const cluster = new Cluster({ voters: [1] });
    const one = cluster.machine(1);
    one.diskHeld = true;
    one.core.campaign();
    cluster.settle();
    expect(one.core.status()).toMatchObject({ role: 'candidate', term: 1 });
    cluster.completeWrite(one);
    expect(one.core.status()).toMatchObject({ role: 'leader', term: 1 });
  });

  test('one vote in a term, also across a restart', () => {
    const cluster = new Cluster(three);
    const two = cluster.machine(2);
    two.core.step(voteFrom(3, 2, 5));
    cluster.settle();
    cluster.crash(two);
    cluster.start(two);
    two.core.step(voteFrom(1, 2, 5));
    cluster.settle();
    const answers = cluster.sent.filter((message) => message.type === 'voteResponse');
    expect(answers.map(({ to, ...rest }) => [to, 'rejected' in rest && rest.rejected])).toEqual([
      [nodeId(3), false],
      [nodeId(1), true],
    ]);
  });

  test('a candidate with the shorter log is refused', () => {
    const cluster = new Cluster(three);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, 'a');
    cluster.settle();
    cluster.heal();
    cluster.crash(cluster.machine(1));
    cluster.tickAll(12);
    cluster.core(3).campaign();
    cluster.settle();
    expect(cluster.core(3).status().role).not.toBe('leader');
    cluster.tickAll(60);
    expect(cluster.core(2).status().role).toBe('leader');
  });

  test('an old leader learns of the new term and follows', () => {
    const cluster = new Cluster(three);
    cluster.elect(1);
    cluster.isolate(1);
    for (let tick = 0; tick < 80; tick += 1) cluster.tick(2, 3);
    expect(cluster.leaders.map(({ id }) => id)).toHaveLength(2);
    cluster.heal();
    cluster.tickAll(3);
    expect(cluster.leaders).toHaveLength(1);
    expect(cluster.core(1).status().role).toBe('follower');
  });

  test('malformed and misaddressed messages are counted and have no effect', () => {
    const cluster = new Cluster(three);
    const two = cluster.core(2);
    two.step(voteFrom(3, 1, 5));
    two.step(voteFrom(3, 2, -1));
    two.step(voteFrom(3, 2, 2 ** 53));
    two.step({
      type: 'append',
      from: nodeId(1),
      to: nodeId(2),
      term: 1,
      previous: { index: 0, term: 0 },
      previousHash: ZERO_HASH,
      entries: [{ index: 2, term: 1, type: 'empty', payload: new Uint8Array(0), hash: ZERO_HASH }],
      commit: 0,
    });
    expect([...two.dropped]).toEqual([
      ['misaddressed', 1],
      ['malformed', 3],
    ]);
    expect(two.status()).toMatchObject({ term: 0, vote: null });
  });
});

describe('leadership transfer (invariant 21)', () => {
  test('brings the target up to date, takes no proposals, and skips the pre-vote', () => {
    const cluster = new Cluster(three);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(1, 'a');
    cluster.settle();
    expect(cluster.core(1).transferLeadership(nodeId(3))).toBe('started');
    cluster.settle();
    expect(cluster.propose(1, 'b')).toEqual({ refused: 'transferring' });
    expect(cluster.core(1).status()).toMatchObject({ role: 'leader', transferTarget: nodeId(3) });
    cluster.heal();
    cluster.tickAll(2);
    expect(cluster.core(3).status().role).toBe('leader');
    expect(cluster.core(1).status()).toMatchObject({ role: 'follower', leader: nodeId(3) });
  });

  test('is given up after one election timeout', () => {
    const cluster = new Cluster(three);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.core(1).transferLeadership(nodeId(3));
    for (let tick = 0; tick < 10; tick += 1) cluster.tick(1, 2);
    expect(cluster.core(1).status()).toMatchObject({ role: 'leader', transferTarget: null });
    expect(cluster.propose(1, 'b')).toHaveProperty('index');
  });

  test('may be asked of any node; only another voter can be the target', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], learners: [4] });
    expect(cluster.core(2).transferLeadership(nodeId(2))).toBe('noLeader');
    cluster.elect(1);
    expect(cluster.core(1).transferLeadership(nodeId(4))).toBe('invalid');
    expect(cluster.core(1).transferLeadership(nodeId(1))).toBe('invalid');
    expect(cluster.core(2).transferLeadership(nodeId(2))).toBe('forwarded');
    cluster.settle();
    expect(cluster.core(2).status().role).toBe('leader');
  });
});

function voteFrom(from: number, to: number, term: number, last = { index: 0, term: 0 }): Message {
  return { type: 'vote', from: nodeId(from), to: nodeId(to), term, last, transfer: false };
}
