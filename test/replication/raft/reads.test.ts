import { describe, expect, test } from 'vitest';
import type { Message } from '../../../src/replication/raft/types.ts';
import { Cluster, nodeId } from './cluster.ts';

type Heartbeat = Extract<Message, { type: 'heartbeat' }>;
type HeartbeatResponse = Extract<Message, { type: 'heartbeatResponse' }>;

function ask(cluster: Cluster, number: number, requestId: number): void {
  const machine = cluster.machine(number);
  cluster.oracle.readRequested(machine, requestId);
  machine.core.requestRead(requestId);
  cluster.drain(machine);
}

describe('linearizable reads', () => {
  test('the leader answers after a round; reads that wait together share it', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    cluster.sent.length = 0;
    cluster.core(1).requestRead(1);
    cluster.core(1).requestRead(2);
    cluster.drain(cluster.machine(1));
    expect(cluster.sent.filter((message) => message.type === 'heartbeat')).toHaveLength(2);
    expect(cluster.machine(1).reads).toEqual([]);
    cluster.settle();
    expect(cluster.machine(1).reads).toEqual([
      { requestId: 1, index: 1 },
      { requestId: 2, index: 1 },
    ]);
  });

  test('a late answer to an older round confirms no younger read', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    const held: Message[] = [];
    cluster.lose = (message) => {
      if (message.type !== 'heartbeatResponse') return false;
      held.push(message);
      return true;
    };
    // Round 1 is answered, but the answers stay on the way; then this leader is cut off and replaced.
    ask(cluster, 1, 1);
    cluster.settle();
    const old = held.filter((message): message is HeartbeatResponse => message.type === 'heartbeatResponse');
    expect(old.map((message) => message.round)).toEqual([1, 1]);
    cluster.isolate(1);
    for (let tick = 0; tick < 60; tick += 1) cluster.tick(2, 3);
    const [successor] = cluster.leaders.filter(({ id }) => id !== nodeId(1));
    successor?.core.propose(() => Buffer.from('newer'));
    cluster.settle();
    expect(cluster.oracle.maxCommit).toBeGreaterThan(1);
    // The old leader is asked again; the late answers must not confirm the second read (the oracle would stop it).
    ask(cluster, 1, 2);
    for (const message of old) cluster.deliver(message);
    cluster.drain(cluster.machine(1));
    expect(cluster.machine(1).reads).toEqual([{ requestId: 1, index: 1 }]);
    expect(cluster.core(1).status().role).toBe('leader');
    for (let tick = 0; tick < 21; tick += 1) cluster.tick(1);
    expect(cluster.machine(1).reads.at(-1)).toEqual({ requestId: 2, index: null });
  });

  test('the answer to a younger round confirms the older ones', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    cluster.lose = (message) => message.type === 'heartbeat';
    ask(cluster, 1, 1);
    cluster.heal();
    cluster.tickAll(1);
    expect(cluster.machine(1).reads).toEqual([{ requestId: 1, index: 1 }]);
  });

  test('a new leader answers nothing before an entry of its own term is committed', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    cluster.lose = (message) => message.type === 'append';
    cluster.crash(cluster.machine(1));
    for (let tick = 0; tick < 60; tick += 1) cluster.tick(2, 3);
    const [leader] = cluster.leaders;
    expect(leader).toBeDefined();
    if (leader === undefined) return;
    leader.core.requestRead(1);
    cluster.settle();
    expect(leader.reads).toEqual([]);
    cluster.heal();
    cluster.tickAll(3);
    expect(leader.reads).toEqual([{ requestId: 1, index: leader.core.status().commit }]);
  });

  test('a single voter answers at once, but only when its own entry is durable', () => {
    const cluster = new Cluster({ voters: [1] });
    const one = cluster.machine(1);
    one.diskHeld = true;
    one.core.campaign();
    cluster.settle();
    cluster.completeWrite(one);
    expect(one.core.status().role).toBe('leader');
    one.core.requestRead(1);
    cluster.settle();
    expect(one.reads).toEqual([]);
    cluster.completeWrite(one);
    cluster.settle();
    expect(one.reads).toEqual([{ requestId: 1, index: 1 }]);
  });

  test('a follower and a learner forward; without a leader there is no answer', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], learners: [4] });
    ask(cluster, 2, 1);
    expect(cluster.machine(2).reads).toEqual([{ requestId: 1, index: null }]);
    cluster.elect(1);
    ask(cluster, 2, 2);
    ask(cluster, 4, 1);
    cluster.settle();
    expect(cluster.machine(2).reads.at(-1)).toEqual({ requestId: 2, index: 1 });
    expect(cluster.machine(4).reads).toEqual([{ requestId: 1, index: 1 }]);
  });

  test('a learner confirms nothing (invariant 16)', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], learners: [4, 5, 6] });
    cluster.elect(1);
    cluster.lose = ({ from, to }) => [from, to].some((id) => id === nodeId(2) || id === nodeId(3));
    ask(cluster, 1, 1);
    cluster.tickAll(2);
    expect(cluster.machine(1).reads).toEqual([]);
  });

  test('a forwarded read that is lost fails after a while; its late or doubled answer is dropped', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    const held: Message[] = [];
    cluster.lose = (message) => message.type === 'readIndexResponse' && held.push(message) > 0;
    ask(cluster, 2, 7);
    cluster.settle();
    cluster.tickAll(20);
    expect(cluster.machine(2).reads).toEqual([{ requestId: 7, index: null }]);
    for (const message of held) cluster.deliver(message);
    cluster.settle();
    expect(cluster.machine(2).reads).toHaveLength(1);
    expect(cluster.core(2).dropped.get('notExpected')).toBe(1);
  });

  test('after a restart the same request id is another read', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    const held: Message[] = [];
    cluster.lose = (message) => message.type === 'readIndexResponse' && held.push(message) > 0;
    ask(cluster, 2, 1);
    cluster.settle();
    cluster.crash(cluster.machine(2));
    cluster.start(cluster.machine(2));
    cluster.tickAll(1);
    ask(cluster, 2, 1);
    const [late] = held;
    if (late !== undefined) cluster.deliver(late);
    cluster.drain(cluster.machine(2));
    expect(cluster.machine(2).reads).toEqual([]);
  });

  test('rounds under way are bounded; the reads beyond wait for the next one', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], raft: { pendingReadRoundsMax: 2 } });
    cluster.elect(1);
    cluster.sent.length = 0;
    for (let requestId = 1; requestId <= 5; requestId += 1) ask(cluster, 1, requestId);
    const rounds = cluster.sent
      .filter((message): message is Heartbeat => message.type === 'heartbeat')
      .map((message) => message.round);
    expect(Math.max(...rounds)).toBe(2);
    cluster.settle();
    expect(cluster.machine(1).reads.map((read) => read.requestId)).toEqual([1, 2, 3, 4, 5]);
  });
});
