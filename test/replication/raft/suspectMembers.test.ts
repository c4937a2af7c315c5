import { describe, expect, test } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import type { Message } from '../../../src/replication/raft/types.ts';
import { nodeId } from './cluster.ts';
import { cluster, isFrom, lose, suspectAt } from './lostLogs.ts';

describe('the leader of a suspect node', () => {
  test('counts nothing that it acknowledged before', () => {
    const made = cluster();
    made.crash(made.machine(2));
    made.machine(1).diskHeld = true;
    made.propose(1, 'acknowledged by 3 alone');
    made.settle();
    expect(made.core(1).status().progress).toContainEqual(
      expect.objectContaining({ match: 6, nodeId: nodeId(3) }),
    );
    lose(made, 5);
    made.lose = (message) => isFrom(1, 'append')(message);
    made.tickAll(1);
    expect(suspectAt(made, 1)).toBe(true);
    made.machine(1).diskHeld = false;
    made.settle();
    expect(made.core(1).status().commit).toBe(5);
    made.heal();
    made.tickAll(2);
    expect(made.core(1).status().commit).toBe(7);
  });

  test('is not deceived by what it acknowledged between two losses in one term', () => {
    const made = cluster();
    const isTrusting = (message: Message): boolean =>
      isFrom(3, 'appendResponse')(message) &&
      message.type === 'appendResponse' &&
      message.suspect === undefined;
    made.lose = isTrusting;
    lose(made, 2);
    made.tickAll(1);
    expect(made.core(3).status()).toMatchObject({ lastIndex: 6, suspectUntil: null });
    made.crash(made.machine(2));
    for (const text of ['a', 'b', 'c']) made.propose(1, text);
    made.settle();
    const late = present(made.sent.findLast(isTrusting), 'acknowledgement');
    expect(late).toMatchObject({ index: 9, rejected: false });
    lose(made, 2);
    made.lose = isFrom(1, 'append');
    made.tickAll(1);
    made.deliver(late);
    made.settle();
    expect([suspectAt(made, 1), made.core(1).status().commit]).toEqual([true, 6]);
    made.heal();
    made.tickAll(3);
    expect([suspectAt(made, 1), made.core(1).status().commit]).toEqual([false, 10]);
  });

  test('is not deceived by an acknowledgement from before the loss that comes late', () => {
    const made = cluster();
    made.lose = isFrom(3, 'appendResponse');
    made.propose(1, 'more');
    made.settle();
    const late = present(made.sent.findLast(isFrom(3, 'appendResponse')), 'acknowledgement');
    expect(late).toMatchObject({ index: 6, rejected: false });
    lose(made, 2);
    made.heal();
    made.lose = isFrom(1, 'append');
    made.tickAll(1);
    made.deliver(late);
    expect(suspectAt(made, 1)).toBe(true);
    expect(made.core(1).status().progress).toContainEqual(
      expect.objectContaining({ match: 0, nodeId: nodeId(3) }),
    );
    made.heal();
    made.tickAll(3);
    expect(suspectAt(made, 1)).toBe(false);
  });

  test('does not count its acknowledgements while they are marked', () => {
    const made = cluster();
    made.crash(made.machine(2));
    lose(made, 2);
    made.lose = (message) =>
      message.from === nodeId(3) && message.type === 'appendResponse' && message.suspect === undefined;
    made.propose(1, 'more');
    made.tickAll(3);
    expect(made.core(1).status()).toMatchObject({ commit: 5 });
    expect(made.core(3).status()).toMatchObject({ suspectUntil: null });
    made.heal();
    made.tickAll(2);
    expect(made.core(1).status().commit).toBe(7);
  });

  test('hands no leadership to it', () => {
    const made = cluster();
    lose(made, 2);
    made.lose = isFrom(1, 'append');
    made.tickAll(1);
    made.core(1).transferLeadership(nodeId(3));
    made.settle();
    expect(made.sent.filter(isFrom(1, 'timeoutNow'))).toEqual([]);
  });
});
