import { describe, expect, test } from 'vitest';
import type { RaftStatus } from '../../../src/replication/raft/types.ts';
import { HeldLog } from '../../../src/replication/raftLog/heldLog.ts';
import { testNodeId } from '../transport/certificates.ts';

type Member = RaftStatus['progress'][number];

function member(number: number, change: Partial<Member>): Member {
  const nodeId = testNodeId(number);
  return {
    nodeId,
    match: 0,
    next: 1,
    state: 'replicate',
    silentTicks: 0,
    reachable: true,
    suspect: false,
    ...change,
  };
}

describe('the log that members need', () => {
  test('begins behind what the slowest one holds', () => {
    const held = new HeldLog({ patienceTicks: 3 });
    const progress = [member(1, { match: 90 }), member(2, { match: 40 })];
    held.tick(progress);
    expect(held.neededFrom(progress)).toBe(40);
  });

  test('is nothing on who does not lead', () => {
    const held = new HeldLog({ patienceTicks: 3 });
    held.tick([]);
    expect(held.neededFrom([])).toBe(Infinity);
  });

  test('is not held for a member that has been silent for longer than its patience', () => {
    const held = new HeldLog({ patienceTicks: 3 });
    const silentFor = (silentTicks: number): readonly Member[] => [
      member(1, { match: 90 }),
      member(2, { match: 40, silentTicks, reachable: false }),
    ];
    expect(held.neededFrom(silentFor(3))).toBe(40);
    expect(held.neededFrom(silentFor(4))).toBe(90);
  });

  test('begins behind the first snapshot that was opened since a member needs one', () => {
    const held = new HeldLog({ patienceTicks: 3 });
    const pulling = [member(1, { match: 90 }), member(2, { match: 3, state: 'snapshot' })];
    held.tick(pulling);
    expect(held.neededFrom(pulling)).toBe(90);
    held.snapshotOpened(50);
    held.snapshotOpened(70);
    held.tick(pulling);
    expect(held.neededFrom(pulling)).toBe(50);
    const done = [member(1, { match: 95 }), member(2, { match: 50 })];
    held.tick(done);
    expect(held.neededFrom(done)).toBe(50);
    const again = [member(1, { match: 99 }), member(2, { match: 50, state: 'snapshot' })];
    held.tick(again);
    expect(held.neededFrom(again)).toBe(99);
  });
});
