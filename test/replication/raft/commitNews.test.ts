import { describe, expect, test } from 'vitest';
import { entryHash, ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import type { Entry, Message } from '../../../src/replication/raft/types.ts';
import { Cluster, nodeId } from './cluster.ts';

const START = { index: 0, term: 0, hash: ZERO_HASH };

function entryAfter(previous: { index: number; hash: Uint8Array }, term: number, text: string): Entry {
  const place = { index: previous.index + 1, term };
  const payload = Buffer.from(text);
  return { ...place, type: 'normal', payload, hash: entryHash(previous.hash, place, 'normal', payload) };
}

const FIRST = entryAfter(START, 1, 'a');
const SECOND = entryAfter(FIRST, 1, 'b');

/** To node 2. */
function append(from: number, term: number, entries: readonly Entry[]): Message {
  const previous = { index: 0, term: 0 };
  const routed = { from: nodeId(from), to: nodeId(2), term };
  return { ...routed, type: 'append', previous, previousHash: ZERO_HASH, entries, commit: 0 };
}

/** To node 2. */
const commit = (from: number, term: number, index: number): Message => ({
  type: 'commit',
  from: nodeId(from),
  to: nodeId(2),
  term,
  commit: index,
});

const three = () => new Cluster({ voters: [1, 2, 3] });
const isNewsToThree = (message: Message) => message.type === 'commit' && message.to === nodeId(3);

describe('the news of the commit index', () => {
  test('costs one message to each member, which nobody answers', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.sent.length = 0;
    cluster.propose(1, 'x');
    cluster.settle();
    expect(cluster.sent.map(({ type }) => type)).toEqual([
      'append',
      'append',
      'appendResponse',
      'appendResponse',
      'commit',
      'commit',
    ]);
    for (const machine of cluster.machines.values()) expect(machine.appliedPayloads).toEqual(['x']);
  });

  test('rides along with an append that leaves anyway', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.propose(1, 'x');
    cluster.machine(1).diskHeld = true;
    cluster.lose = ({ type }) => type === 'appendResponse';
    cluster.settle();
    cluster.heal();
    cluster.sent.length = 0;
    const { term, lastIndex } = cluster.core(1).status();
    const answer = { from: nodeId(2), to: nodeId(1), term, index: lastIndex, rejected: false };
    cluster.core(1).step({ ...answer, type: 'appendResponse', hint: { index: 0, term: 0 } });
    cluster.machine(1).diskHeld = false;
    cluster.completeWrite(cluster.machine(1));
    cluster.propose(1, 'y');
    cluster.drain(cluster.machine(1));
    expect(cluster.sent).toMatchObject([
      { type: 'append', commit: lastIndex },
      { type: 'append', commit: lastIndex },
    ]);
  });

  test('does not wait for the answer of a slow member, and counts there when the append has come', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.machine(3).diskHeld = true;
    cluster.propose(1, 'x');
    cluster.settle();
    expect(cluster.core(3).status()).toMatchObject({ commit: 2, applied: 1 });
    cluster.machine(3).diskHeld = false;
    cluster.settle();
    expect(cluster.machine(3).appliedPayloads).toEqual(['x']);
  });

  test('leaves also when the window is full', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], raft: { inFlightMessagesMax: 1 } });
    cluster.elect(1);
    cluster.machine(3).diskHeld = true;
    cluster.propose(1, 'x');
    cluster.settle();
    cluster.propose(1, 'y');
    cluster.settle();
    expect(cluster.core(1).status().commit).toBe(3);
    expect(cluster.core(3).status()).toMatchObject({ commit: 2, lastIndex: 2 });
    cluster.machine(3).diskHeld = false;
    cluster.settle();
    expect(cluster.machine(3).appliedPayloads).toEqual(['x', 'y']);
  });

  test('that is lost comes again with the next heartbeat', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.lose = isNewsToThree;
    cluster.propose(1, 'x');
    cluster.settle();
    expect([cluster.core(2).status().commit, cluster.core(3).status().commit]).toEqual([2, 1]);
    cluster.tickAll(1);
    expect(cluster.core(3).status().commit).toBe(2);
  });

  test('that overtakes its append is ignored, and comes again with the next heartbeat', () => {
    const cluster = three();
    cluster.elect(1);
    const late: Message[] = [];
    cluster.lose = (message) => {
      const held = message.type === 'append' && message.to === nodeId(3) && message.entries.length > 0;
      if (held) late.push(message);
      return held;
    };
    cluster.propose(1, 'x');
    cluster.settle();
    expect(cluster.sent.some(isNewsToThree)).toBe(true);
    expect(cluster.core(3).status()).toMatchObject({ commit: 1, lastIndex: 1 });
    cluster.heal();
    for (const message of late) cluster.deliver(message);
    cluster.settle();
    expect(cluster.core(3).status()).toMatchObject({ commit: 1, lastIndex: 2 });
    cluster.tickAll(1);
    expect(cluster.core(3).status().commit).toBe(2);
  });

  test('I4: old news, or the same again, changes nothing', () => {
    const two = three().core(2);
    two.step(append(1, 1, [FIRST, SECOND]));
    for (const index of [2, 1, 2, 0]) two.step(commit(1, 1, index));
    expect(two.status().commit).toBe(2);
  });

  test('I6, I7: reaches only as far as an append of this term has been compared', () => {
    const two = three().core(2);
    two.step(append(1, 1, [FIRST, SECOND]));
    two.step(append(3, 2, [FIRST]));
    two.step(commit(3, 2, 2));
    expect(two.status()).toMatchObject({ commit: 1, lastIndex: 2 });
    two.step(commit(3, 2, 9));
    expect(two.status()).toMatchObject({ commit: 1, lastIndex: 2 });
  });

  test('I6: what an earlier leader compared does not count for the next one', () => {
    const two = three().core(2);
    two.step(append(1, 1, [FIRST, SECOND]));
    two.step(commit(3, 2, 2));
    expect(two.status()).toMatchObject({ term: 2, leader: nodeId(3), commit: 0 });
    two.step(append(3, 2, [FIRST, entryAfter(FIRST, 2, 'c')]));
    two.step(commit(3, 2, 2));
    expect(two.status().commit).toBe(2);
  });

  test('means nothing to a node that was restarted, until it compares again', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.lose = ({ type }) => type === 'commit' || type === 'heartbeat';
    cluster.propose(1, 'x');
    cluster.settle();
    const two = cluster.machine(2);
    cluster.crash(two);
    cluster.start(two);
    two.core.step(commit(1, 1, 2));
    expect(two.core.status().commit).toBeLessThan(2);
    cluster.heal();
    cluster.tickAll(2);
    expect(two.core.status().commit).toBe(2);
  });

  test('of an earlier term is refused, and its sender hears of the later one', () => {
    const cluster = three();
    const two = cluster.core(2);
    two.step(append(1, 1, [FIRST]));
    two.step(append(3, 2, [FIRST]));
    cluster.settle();
    cluster.sent.length = 0;
    two.step(commit(1, 1, 1));
    expect(two.status().commit).toBe(0);
    expect(two.dropped.get('staleTerm')).toBe(1);
    cluster.drain(cluster.machine(2));
    expect(cluster.sent).toMatchObject([{ type: 'heartbeatResponse', to: nodeId(1), term: 2 }]);
  });

  test('is a sign of life of the leader', () => {
    const two = three().core(2);
    for (let round = 0; round < 10; round += 1) {
      two.step(commit(1, 1, 0));
      for (let tick = 0; tick < 9; tick += 1) two.tick();
    }
    expect(two.status()).toMatchObject({ role: 'follower', term: 1, leader: nodeId(1) });
  });

  test('with an impossible index is dropped', () => {
    const two = three().core(2);
    two.step(commit(1, 1, -1));
    two.step(commit(1, 1, 0.5));
    expect(two.dropped.get('malformed')).toBe(2);
  });
});
