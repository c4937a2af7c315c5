import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { Read } from '../../src/node/read.ts';
import { refusalOf } from './refusal.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A log whose barriers are answered by hand, in any order. */
class FakeBarriers {
  applied = 0;
  readonly asked: {
    deadlineMs: number;
    resolve: (index: number) => void;
    reject: (error: unknown) => void;
  }[] = [];

  readonly ports = {
    readBarrier: (deadlineMs: number) =>
      new Promise<number>((resolve, reject) => this.asked.push({ deadlineMs, resolve, reject })),
    appliedIndex: () => this.applied,
  };
}

let clock: ManualClock;
let barriers: FakeBarriers;
let read: Read;

beforeEach(() => {
  clock = new ManualClock();
  barriers = new FakeBarriers();
  read = new Read({ ports: barriers.ports, clock });
});

/** What has become of a promise, asked without waiting for it. */
function watched(promise: Promise<void>): { state: string } {
  const seen = { state: 'waiting' };
  promise.then(
    () => {
      seen.state = 'done';
    },
    (thrown: unknown) => {
      seen.state = thrown instanceof HoldfastError ? thrown.code : 'other';
    },
  );
  return seen;
}

describe('a linearizable read', () => {
  it('shares one barrier with all reads of its turn, and none with a later one', async () => {
    const first = [watched(read.linearizable(100)), watched(read.linearizable(900))];
    await turn();
    expect(barriers.asked.map(({ deadlineMs }) => deadlineMs)).toEqual([900]);
    const later = watched(read.linearizable(200));
    await turn();
    expect(barriers.asked).toHaveLength(2);
    barriers.asked[0]?.resolve(0);
    await turn();
    expect(first.map(({ state }) => state)).toEqual(['done', 'done']);
    expect(later.state).toBe('waiting');
    expect(read.waitingCount).toBe(1);
  });

  it('waits until this node has applied what the barrier names', async () => {
    const reader = watched(read.linearizable(1_000));
    await turn();
    barriers.applied = 6;
    barriers.asked[0]?.resolve(7);
    await turn();
    read.applied(6);
    await turn();
    expect(reader.state).toBe('waiting');
    read.applied(7);
    await turn();
    expect(reader.state).toBe('done');
    expect(read.waitingCount).toBe(0);
  });

  it('does not wait behind a barrier that names a later index', async () => {
    const far = watched(read.linearizable(1_000));
    await turn();
    const near = watched(read.linearizable(1_000));
    await turn();
    barriers.asked[0]?.resolve(9);
    barriers.asked[1]?.resolve(5);
    await turn();
    read.applied(5);
    await turn();
    expect([far.state, near.state]).toEqual(['waiting', 'done']);
  });

  it('is late when the barrier comes after its deadline', async () => {
    const reader = watched(read.linearizable(100));
    const patient = watched(read.linearizable(1_000));
    await turn();
    clock.advance(101);
    barriers.asked[0]?.resolve(0);
    await turn();
    expect([reader.state, patient.state]).toEqual(['DEADLINE_EXCEEDED', 'done']);
  });

  it('is not held back by the longer deadline of another', async () => {
    const hasty = watched(read.linearizable(100));
    const patient = watched(read.linearizable(60_000));
    await turn();
    clock.advance(101);
    read.sweep();
    await turn();
    expect([hasty.state, patient.state]).toEqual(['DEADLINE_EXCEEDED', 'waiting']);
    barriers.asked[0]?.resolve(0);
    await turn();
    expect(patient.state).toBe('done');
    expect(read.waitingCount).toBe(0);
  });

  it('is given up when this node does not catch up', async () => {
    const reader = watched(read.linearizable(100));
    await turn();
    barriers.asked[0]?.resolve(5);
    await turn();
    read.sweep();
    await turn();
    expect(reader.state).toBe('waiting');
    clock.advance(101);
    read.sweep();
    await turn();
    expect(reader.state).toBe('DEADLINE_EXCEEDED');
    read.applied(5);
    expect(read.waitingCount).toBe(0);
  });

  it('gets the reason why there is no barrier', async () => {
    const readers = [watched(read.linearizable(100)), watched(read.linearizable(100))];
    await turn();
    barriers.asked[0]?.reject(new HoldfastError('NO_LEADER', 'no leader is known'));
    await turn();
    expect(readers.map(({ state }) => state)).toEqual(['NO_LEADER', 'NO_LEADER']);
    const odd = watched(read.linearizable(100));
    await turn();
    barriers.asked[1]?.reject(new TypeError('odd'));
    await turn();
    expect(odd.state).toBe('INTERNAL');
    expect(read.waitingCount).toBe(0);
  });

  it('is turned away when too many wait, and not for ever', async () => {
    const readers = Array.from({ length: LIMITS.waitingReadsMax }, () => read.linearizable(1_000));
    expect((await refusalOf(() => read.linearizable(1_000))).code).toBe('OVERLOADED');
    await turn();
    barriers.asked[0]?.resolve(0);
    await Promise.all(readers);
    expect(watched(read.linearizable(1_000)).state).toBe('waiting');
  });

  it('ends when the node stops', async () => {
    const asked = watched(read.linearizable(1_000));
    await turn();
    const behind = watched(read.linearizable(1_000));
    await turn();
    barriers.asked[1]?.resolve(5);
    await turn();
    const fresh = watched(read.linearizable(1_000));
    read.stop();
    await turn();
    expect([asked.state, behind.state, fresh.state]).toEqual(Array(3).fill('UNAVAILABLE'));
    barriers.asked[0]?.resolve(0);
    read.applied(9);
    expect(read.waitingCount).toBe(0);
    expect((await refusalOf(() => read.linearizable(1_000))).code).toBe('UNAVAILABLE');
  });
});
