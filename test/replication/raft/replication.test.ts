import { describe, expect, test } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { entryHash, ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import type { Entry, Message } from '../../../src/replication/raft/types.ts';
import { Cluster, nodeId } from './cluster.ts';

type Append = Extract<Message, { type: 'append' }>;

function entryAfter(previous: { index: number; hash: Uint8Array }, term: number, text: string): Entry {
  const place = { index: previous.index + 1, term };
  const payload = Buffer.from(text);
  return { ...place, type: 'normal', payload, hash: entryHash(previous.hash, place, 'normal', payload) };
}

const START = { index: 0, term: 0, hash: ZERO_HASH };

/** An append to node 2 that leaves off after `previous`. */
function append(
  from: number,
  previous: typeof START,
  entries: Entry[],
  { term = 1, commit = 0 } = {},
): Append {
  return {
    type: 'append',
    from: nodeId(from),
    to: nodeId(2),
    term,
    previous: { index: previous.index, term: previous.term },
    previousHash: previous.hash,
    entries,
    commit,
  };
}

describe('replication', () => {
  test('what is proposed is applied everywhere, in order; the place is given before the payload', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    for (let at = 0; at < 20; at += 1) {
      const place = cluster.core(1).propose((given) => Buffer.from(`${given.index}/${given.term}`));
      expect(place).toEqual({ index: at + 2, term: 1 });
    }
    cluster.settle();
    const expected = Array.from({ length: 20 }, (_, at) => `${at + 2}/1`);
    for (const machine of cluster.machines.values()) expect(machine.appliedPayloads).toEqual(expected);
    expect(cluster.propose(2, 'x')).toEqual({ refused: 'notLeader' });
  });

  test('many proposals before one ready() travel in one append', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    cluster.sent.length = 0;
    for (let at = 0; at < 5; at += 1) cluster.propose(1, 'x');
    cluster.drain(cluster.machine(1));
    expect(cluster.sent.map((message) => message.type === 'append' && message.entries.length)).toEqual([
      5, 5,
    ]);
  });

  test('I9: a single node commits only what its own disk has confirmed', () => {
    const cluster = new Cluster({ voters: [1] });
    const one = cluster.machine(1);
    cluster.elect(1);
    one.diskHeld = true;
    const place = cluster.propose(1, 'x');
    cluster.settle();
    expect(one.core.status().commit).toBe(1);
    cluster.completeWrite(one);
    cluster.settle();
    expect(place).toEqual({ index: 2, term: 1 });
    expect(one.core.status()).toMatchObject({ commit: 2, applied: 2 });
  });

  test('I9: a leader commits by the others alone, but applies only what is durable at home', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    const one = cluster.machine(1);
    one.diskHeld = true;
    cluster.propose(1, 'x');
    cluster.settle();
    expect(one.core.status()).toMatchObject({ commit: 2, applied: 1 });
    one.diskHeld = false;
    cluster.settle();
    expect(one.core.status().applied).toBe(2);
  });

  test('I11: an ack leaves only after the entries are durable, a rejection after the writes before it', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    const two = cluster.machine(2);
    two.diskHeld = true;
    const first = entryAfter(START, 1, 'a');
    two.core.step(append(1, START, [first]));
    two.core.step(append(1, { index: 7, term: 1, hash: ZERO_HASH }, []));
    cluster.settle();
    const answers = () => cluster.sent.filter((message) => message.type === 'appendResponse');
    expect(answers()).toHaveLength(0);
    cluster.completeWrite(two);
    expect(answers()).toMatchObject([
      { index: 1, rejected: false },
      { index: 7, rejected: true, hint: { index: 1, term: 1 } },
    ]);
  });

  test('I6: the commit index does not reach behind what the append compared', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    const two = cluster.machine(2);
    const first = entryAfter(START, 1, 'a');
    two.core.step(append(1, START, [first, entryAfter(first, 1, 'b')]));
    two.core.step(append(3, START, [first], { term: 2, commit: 2 }));
    expect(two.core.status()).toMatchObject({ commit: 1, lastIndex: 2 });
  });

  test('I5, I24: a conflict with what is committed stops the node; above it the leader wins', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    const two = cluster.core(2);
    const first = entryAfter(START, 1, 'a');
    two.step(append(1, START, [first, entryAfter(first, 1, 'b')], { commit: 1 }));
    const second = entryAfter(first, 2, 'c');
    two.step(append(3, START, [first, second], { term: 2 }));
    expect(two.hashAt(2)).toEqual(second.hash);
    const other = entryAfter(START, 1, 'other');
    expect(() => two.step(append(3, START, [other], { term: 2 }))).toThrow('I5');
    expect(() => two.step(append(3, { ...first, hash: other.hash }, [], { term: 2 }))).toThrow('I24');
  });

  test('an equal place with another hash above the commit index is a conflict like any other', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    const two = cluster.machine(2);
    two.core.step(append(1, START, [entryAfter(START, 1, 'a')]));
    const other = entryAfter(START, 1, 'other');
    two.core.step(append(3, other, [], { term: 2 }));
    cluster.settle();
    expect(cluster.sent.at(-1)).toMatchObject({ rejected: true, index: 1, hint: { index: 0, term: 0 } });
    two.core.step(append(3, START, [other], { term: 2 }));
    expect(two.core.hashAt(1)).toEqual(other.hash);
  });

  test('entries whose chain does not hold are dropped', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    const two = cluster.core(2);
    const first = entryAfter(START, 1, 'a');
    two.step(append(1, START, [{ ...first, payload: Buffer.from('b') }]));
    expect(two.dropped.get('hashMismatch')).toBe(1);
    expect(two.status().lastIndex).toBe(0);
  });

  test('I12: a write that an ABA of leaders overtook is not counted as durable', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    const two = cluster.machine(2);
    two.diskHeld = true;
    const first = entryAfter(START, 1, 'a');
    const step = (message: Message) => {
      two.core.step(message);
      cluster.settle();
    };
    step(append(1, START, [first], { term: 1 }));
    step(append(3, START, [entryAfter(START, 2, 'b')], { term: 2 }));
    step(append(1, START, [first], { term: 3 }));
    expect(two.writes).toHaveLength(3);
    for (const stable of [0, 0, 1]) {
      cluster.completeWrite(two);
      expect(two.core.stableIndex).toBe(stable);
    }
  });

  test('entries of an earlier term are committed only along with one of the own (Raft, figure 8)', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], raft: { appendBytesMax: 1 } });
    cluster.elect(1);
    cluster.isolate(1);
    cluster.propose(1, 'alone');
    cluster.settle();
    cluster.heal();
    for (const machine of cluster.machines.values()) {
      cluster.crash(machine);
      cluster.start(machine);
    }
    // The old entry reaches everybody; the new leader's own one nobody.
    cluster.lose = (message) =>
      message.type === 'append' &&
      message.entries.at(-1)?.type === 'empty' &&
      cluster.machines.get(message.to)?.raft?.status().lastIndex === 2;
    cluster.elect(1);
    cluster.tickAll(3);
    expect(cluster.core(3).status().lastIndex).toBe(2);
    expect(
      cluster
        .core(1)
        .status()
        .progress.map(({ match }) => match),
    ).toEqual([3, 2, 2]);
    expect(cluster.core(1).status().commit).toBeLessThan(2);
    cluster.heal();
    cluster.tickAll(3);
    expect(cluster.core(3).status().commit).toBe(3);
  });
});

describe('flow control (invariant 22)', () => {
  test('a full window pauses; heartbeats still carry one empty append, and an answer reopens it', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], raft: { inFlightMessagesMax: 3 } });
    cluster.elect(1);
    cluster.lose = (message) => message.type === 'appendResponse' && message.from === nodeId(3);
    cluster.sent.length = 0;
    for (let at = 0; at < 10; at += 1) {
      cluster.propose(1, 'x');
      cluster.settle();
    }
    const toThree = () =>
      cluster.sent.filter(
        (message): message is Append => message.type === 'append' && message.to === nodeId(3),
      );
    expect(toThree().filter((message) => message.entries.length > 0)).toHaveLength(3);
    const before = toThree().length;
    cluster.tickAll(1);
    expect(
      toThree()
        .slice(before)
        .map((message) => message.entries.length),
    ).toEqual([0]);
    cluster.heal();
    cluster.tickAll(2);
    expect(cluster.core(3).status().commit).toBe(11);
  });

  test('a lost append is noticed by the next heartbeats', () => {
    const cluster = new Cluster({ voters: [1, 2, 3] });
    cluster.elect(1);
    cluster.lose = (message) => message.type === 'append' && message.to === nodeId(3);
    cluster.propose(1, 'x');
    cluster.settle();
    cluster.heal();
    cluster.tickAll(3);
    expect(cluster.core(3).status().commit).toBe(2);
  });

  test('proposals are refused while too much is uncommitted; a new leader always gets its empty entry in', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], raft: { uncommittedBytesMax: 1_000 } });
    cluster.elect(1);
    cluster.isolate(1);
    let accepted = 0;
    while ('index' in cluster.propose(1, 'x'.repeat(236))) accepted += 1;
    expect(accepted).toBe(4);
    expect(cluster.propose(1, 'x')).toEqual({ refused: 'overloaded' });
    expect(cluster.core(1).status().uncommittedBytes).toBe(1_200);
    cluster.heal();
    cluster.tickAll(3);
    expect(cluster.core(1).status().uncommittedBytes).toBe(0);
    expect(cluster.propose(1, 'x')).toHaveProperty('index');
  });

  test('no append is larger than its budget, but one large entry still travels', () => {
    const cluster = new Cluster({ voters: [1, 2, 3], raft: { appendBytesMax: 500 } });
    cluster.elect(1);
    cluster.sent.length = 0;
    for (const size of [100, 100, 100, 2_000, 100]) cluster.propose(1, 'x'.repeat(size));
    cluster.settle();
    const sizes = cluster.sent
      .filter((message): message is Append => message.type === 'append' && message.to === nodeId(2))
      .map((message) => message.entries.map((entry) => entry.payload.length));
    expect(sizes.filter((list) => list.length > 0)).toEqual([[100, 100, 100], [2_000], [100]]);
    expect(present(cluster.machine(2).appliedPayloads.at(-1), 'payload')).toHaveLength(100);
  });
});
