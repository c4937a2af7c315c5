import { describe, expect, test } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { entryHash, ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import type { Entry, Message } from '../../../src/replication/raft/types.ts';
import { Cluster, nodeId } from './cluster.ts';
import { cluster, isFrom, lose, suspectAt } from './lostLogs.ts';

describe('a suspect node', () => {
  test('is replicated to anew by an idle leader, and takes part again', () => {
    const made = cluster();
    lose(made, 2);
    expect(made.core(3).status()).toMatchObject({ lastIndex: 2, suspectUntil: { index: 5, term: 1 } });
    made.tickAll(1);
    expect(made.core(3).status()).toMatchObject({ lastIndex: 6, suspectUntil: null, commit: 6 });
    expect([suspectAt(made, 1), made.core(1).suspicionsRaised]).toEqual([false, 1]);
    expect(made.machine(3).suspectUntil).toBeNull();
    made.crash(made.machine(2));
    made.propose(1, 'more');
    made.settle();
    expect(made.core(1).status().commit).toBe(7);
  });

  test('votes for nobody, not in a pre-vote either, and does not campaign', () => {
    const made = cluster();
    lose(made, 2);
    made.isolate(1);
    made.tickAll(200);
    expect(made.leaders.filter(({ id }) => id !== nodeId(1))).toEqual([]);
    expect(made.core(3).dropped.get('notPromotable')).toBeGreaterThan(0);
    const asked = made.sent.filter(isFrom(2, 'preVote')).length;
    expect(asked).toBeGreaterThan(0);
    expect(made.sent.filter(isFrom(2, 'vote'))).toEqual([]);
    expect(made.sent.filter(isFrom(3, 'preVoteResponse'))).not.toContainEqual(
      expect.objectContaining({ to: nodeId(2), rejected: false }),
    );
  });

  test('refuses a vote that needs no pre-vote', () => {
    const made = cluster();
    lose(made, 2);
    const last = made.core(2).status().lastIndex;
    made.core(3).step({
      type: 'vote',
      from: nodeId(2),
      to: nodeId(3),
      term: 2,
      last: { index: last, term: 1 },
      transfer: true,
    });
    made.settle();
    expect(made.core(3).status().vote).toBeNull();
  });

  test('of which there are too many leaves the cluster without a leader', () => {
    const made = cluster();
    for (const number of [2, 3]) {
      made.loseTail(made.machine(number), { keep: 2, until: 5 });
    }
    made.crash(made.machine(1));
    for (const number of [1, 2, 3]) made.start(made.machine(number));
    made.tickAll(200);
    expect(made.leaders).toEqual([]);
    expect([1, 2, 3].map((number) => made.core(number).status().lastIndex)).toEqual([5, 2, 2]);
  });

  test('confirms no read round before it is trusted', () => {
    const made = cluster();
    lose(made, 2);
    made.crash(made.machine(2));
    made.lose = isFrom(1, 'append');
    made.core(1).requestRead(1);
    made.settle();
    made.tickAll(2);
    expect(made.machine(1).reads).toEqual([]);
    made.heal();
    made.tickAll(2);
    expect(made.machine(1).reads).toMatchObject([{ requestId: 1 }]);
  });

  test('believes no commit index beyond what it has compared', () => {
    const made = cluster();
    lose(made, 4);
    made.lose = isFrom(1, 'append');
    made.machine(3).disk.hardState = { ...made.machine(3).disk.hardState, commit: 1 };
    made.start(made.machine(3));
    made.core(3).step({ type: 'heartbeat', from: nodeId(1), to: nodeId(3), term: 1, commit: 4, round: 0 });
    expect(made.core(3).status().commit).toBe(1);
  });

  test('is alive: a leader that only it hears stays', () => {
    const made = cluster();
    made.crash(made.machine(2));
    lose(made, 2);
    made.lose = isFrom(1, 'append');
    made.tickAll(60);
    expect(made.core(1).status().role).toBe('leader');
  });

  test('keeps the mark over a restart, and is trusted only by what is sent to its new self', () => {
    const made = cluster();
    lose(made, 2);
    made.lose = (message) => message.to === nodeId(3) && message.type === 'append';
    made.tickAll(2);
    const held = made.sent.filter((message) => message.to === nodeId(3) && message.type === 'append');
    expect(held.at(-1)).toMatchObject({ suspicion: { through: 6 } });
    made.crash(made.machine(3));
    made.start(made.machine(3));
    for (const message of held) made.deliver(message);
    made.settle();
    expect(made.core(3).status().suspectUntil).toEqual({ index: 5, term: 1 });
    made.heal();
    made.tickAll(2);
    expect(made.core(3).status().suspectUntil).toBeNull();
  });

  test('is not trusted before it holds all that the leader asks for', () => {
    const made = cluster();
    lose(made, 2);
    made.lose = (message) => message.type === 'append' && message.entries.length > 1;
    made.tickAll(1);
    const whole = present(made.sent.findLast(made.lose), 'append');
    const cut = present(whole.type === 'append' ? whole : null, 'append');
    made.lose = isFrom(1, 'append');
    made.deliver({ ...cut, entries: cut.entries.slice(0, -1) });
    made.settle();
    expect(made.core(3).status()).toMatchObject({ lastIndex: 5, suspectUntil: { index: 5, term: 1 } });
    made.heal();
    made.tickAll(2);
    expect(made.core(3).status().suspectUntil).toBeNull();
  });

  test('is not trusted before what it was given is durable', () => {
    const made = cluster();
    lose(made, 2);
    made.machine(3).diskHeld = true;
    made.tickAll(2);
    expect(made.core(3).status()).toMatchObject({ lastIndex: 6, suspectUntil: { index: 5, term: 1 } });
    made.machine(3).diskHeld = false;
    made.settle();
    expect(made.core(3).status().suspectUntil).toBeNull();
  });

  test('is not trusted when what it was given becomes durable in a later term', () => {
    const made = cluster();
    lose(made, 2);
    made.machine(3).diskHeld = true;
    made.tickAll(2);
    made.isolate(3);
    const route = { from: nodeId(2), to: nodeId(3), term: 2 };
    made.core(3).step({ ...route, type: 'heartbeat', commit: 0, round: 0 });
    made.machine(3).diskHeld = false;
    made.settle();
    expect(made.core(3).status()).toMatchObject({ lastIndex: 6, suspectUntil: { index: 5, term: 1 } });
  });

  test('is trusted after a snapshot, when the log that it needs is gone', () => {
    const made = cluster(20);
    for (const number of [1, 2]) {
      made.checkpoint(made.machine(number));
      made.compact(made.machine(number));
    }
    lose(made, 2);
    made.tickAll(3);
    expect(made.core(3).status()).toMatchObject({ lastIndex: 22, suspectUntil: null });
    expect(made.core(3).base.index).toBeGreaterThan(2);
  });

  test('votes for no other in the term in which it is trusted, should it have forgotten its vote', () => {
    const made = cluster();
    lose(made, 2);
    const machine = made.machine(3);
    made.crash(machine);
    machine.disk.hardState = { ...machine.disk.hardState, vote: null };
    made.start(machine);
    made.tickAll(2);
    expect(made.core(3).status()).toMatchObject({ suspectUntil: null, vote: nodeId(1) });
    expect(machine.disk.hardState.vote).toBe(nodeId(1));
  });

  test('is trusted by the leader of a later term, though that has a shorter log', () => {
    const made = cluster(0);
    made.isolate(1);
    for (let entry = 0; entry < 9; entry += 1) made.propose(1, `lost ${entry}`);
    made.settle();
    made.heal();
    const machine = made.machine(1);
    made.loseTail(machine, { keep: 1, until: 10 });
    made.tickAll(60);
    made.start(machine);
    made.tickAll(3);
    const [leader] = made.leaders;
    expect(present(leader, 'leader').core.status().lastIndex).toBeLessThan(10);
    expect(made.core(1).status().suspectUntil).toBeNull();
  });
});

describe('a sound node that its leader does not count yet', () => {
  test('does not suspect itself when it restarts', () => {
    const made = cluster();
    lose(made, 2);
    made.lose = (message) =>
      message.from === nodeId(3) && message.type === 'appendResponse' && message.suspect === undefined;
    made.tickAll(2);
    expect([made.core(3).status().suspectUntil, suspectAt(made, 1)]).toEqual([null, true]);
    made.crash(made.machine(3));
    made.start(made.machine(3));
    made.tickAll(2);
    expect(made.core(3).status().suspectUntil).toBeNull();
    made.heal();
    made.tickAll(2);
    expect(suspectAt(made, 1)).toBe(false);
  });

  test('does not suspect itself because its leader heard late of a suspicion that is over', () => {
    const made = cluster(4, { appendBytesMax: 1 });
    lose(made, 2);
    made.tickAll(2);
    const isMarked = (message: Message): boolean =>
      message.type === 'appendResponse' && message.suspect !== undefined;
    const late = present(made.sent.findLast(isMarked), 'a marked answer');
    expect([made.core(3).status().suspectUntil, suspectAt(made, 1)]).toEqual([null, false]);
    made.lose = (message) => message.to === nodeId(3);
    for (const text of ['one', 'two', 'three']) made.propose(1, text);
    made.settle();
    made.deliver(late);
    made.heal();
    const before = made.sent.length;
    made.tickAll(3);
    expect(made.sent.slice(before).filter(isMarked)).toEqual([]);
    expect([made.core(3).status().lastIndex, suspectAt(made, 1)]).toEqual([10, false]);
  });
});

describe('a node that is asked what it holds', () => {
  test('does not count what an earlier leader left at the end of its log', () => {
    const made = new Cluster({ voters: [1, 2, 3] });
    const entries: Entry[] = [];
    let hash: Uint8Array = ZERO_HASH;
    for (let index = 1; index <= 3; index += 1) {
      const payload = Buffer.from(`entry ${index}`);
      hash = entryHash(hash, { index, term: 1 }, 'normal', payload);
      entries.push({ index, term: 1, type: 'normal', payload, hash });
    }
    const start = { previous: { index: 0, term: 0 }, previousHash: ZERO_HASH, commit: 0 };
    const append = { type: 'append', to: nodeId(3), ...start } as const;
    made.core(3).step({ ...append, from: nodeId(1), term: 1, entries });
    made.drain(made.machine(3));
    const suspicion = { mark: 0, through: 1 };
    made.core(3).step({ ...append, from: nodeId(2), term: 2, entries: entries.slice(0, 1), suspicion });
    made.settle();
    expect(made.sent.filter(isFrom(3, 'appendResponse'))).toMatchObject([
      { to: nodeId(1), index: 3 },
      { to: nodeId(2), index: 1, rejected: false },
    ]);
  });
});

describe('a log that was exchanged for an older one, unnoticed', () => {
  function putBack(made: Cluster, keep: number): void {
    lose(made, keep);
    const machine = made.machine(3);
    made.crash(machine);
    machine.suspectUntil = null;
    made.start(machine);
  }

  test('is noticed by a heartbeat of the leader that had its acknowledgement', () => {
    const made = cluster();
    putBack(made, 2);
    made.lose = isFrom(3, 'heartbeatResponse');
    made.tickAll(1);
    expect(made.core(1).suspicionsRaised).toBe(1);
    made.heal();
    made.tickAll(3);
    expect(made.core(3).status()).toMatchObject({ suspectUntil: null, lastIndex: 6 });
  });

  test('is noticed by an append that it has to refuse', () => {
    const made = cluster();
    putBack(made, 2);
    made.propose(1, 'more');
    made.settle();
    expect(made.core(1).suspicionsRaised).toBe(1);
    expect(made.core(3).status()).toMatchObject({ suspectUntil: null, lastIndex: 7 });
  });

  test('is not taken for it where only an old refusal comes once more', () => {
    const made = cluster();
    made.core(1).step({
      type: 'appendResponse',
      from: nodeId(3),
      to: nodeId(1),
      term: 1,
      index: 3,
      rejected: true,
      hint: { index: 2, term: 1 },
    });
    made.settle();
    expect(made.sent.at(-1)).toMatchObject({ type: 'appendResponse', index: 5, rejected: false });
    expect(made.core(1).suspicionsRaised).toBe(0);
  });
});
