import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { systemScheduler } from '../../../src/base/scheduler.ts';
import { NO_CONFIGURATION } from '../../../src/replication/raft/configuration.ts';
import { ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import type { Entry, SnapshotMetadata } from '../../../src/replication/raft/types.ts';
import { Applier } from '../../../src/replication/raftLog/applier.ts';
import { Backlog } from '../../../src/replication/raftLog/backlog.ts';
import { CompactionWindow, type LogWindow } from '../../../src/replication/raftLog/compaction.ts';
import { reconcile } from '../../../src/replication/raftLog/opening.ts';
import { ReadBarriers } from '../../../src/replication/raftLog/readBarriers.ts';
import { Ticker } from '../../../src/replication/raftLog/ticker.ts';
import type { WalContents } from '../../../src/replication/wal/types.ts';
import { testNodeId } from '../transport/certificates.ts';

const self = testNodeId(1);
const configuration = { ...NO_CONFIGURATION, voters: [self] };

function hashOf(byte: number): Buffer {
  return Buffer.alloc(32, byte);
}

function entries(first: number, last: number, bytes = 10): Entry[] {
  return Array.from({ length: last - first + 1 }, (_, i) => ({
    index: first + i,
    term: 2,
    type: 'normal' as const,
    payload: Buffer.alloc(bytes),
    hash: hashOf(first + i),
  }));
}

function at(index: number, term: number, hash: Buffer): SnapshotMetadata {
  return { index, term, hash, configuration };
}

const nobody = (): number => Infinity;

function windowOf(trailing: LogWindow, held: LogWindow = trailing): CompactionWindow {
  return new CompactionWindow({ trailing, held }, 0);
}

describe('reconcile', () => {
  const contents: WalContents = {
    hardState: { term: 3, vote: self, commit: 6 },
    snapshot: at(4, 2, hashOf(4)),
    entries: entries(5, 10),
  };

  test('goes on when the state lies within the log', () => {
    const { restart, initial } = reconcile(contents, at(8, 2, hashOf(8)));
    expect(restart).toBeNull();
    expect(initial).toMatchObject({
      applied: 8,
      configuration,
      hardState: { term: 3, vote: self, commit: 8 },
    });
    expect(initial.entries).toHaveLength(6);
  });

  test('goes on from the very base of the log, and never lowers the commit index', () => {
    const { restart, initial } = reconcile(contents, at(4, 2, hashOf(4)));
    expect(restart).toBeNull();
    expect(initial.hardState.commit).toBe(6);
  });

  test('restarts the log from a state past its end', () => {
    const applied = at(20, 5, hashOf(99));
    const { restart, initial } = reconcile(contents, applied);
    expect(restart).toEqual({
      hardState: { term: 5, vote: null, commit: 20 },
      snapshot: applied,
      entries: [],
    });
    expect(initial).toMatchObject({ applied: 20, snapshot: applied, entries: [] });
  });

  test('keeps the vote when the term does not move', () => {
    expect(reconcile(contents, at(20, 3, hashOf(99))).restart?.hardState).toEqual({
      term: 3,
      vote: self,
      commit: 20,
    });
  });

  test('restarts the log from a state that differs from an uncommitted entry', () => {
    expect(reconcile(contents, at(9, 3, hashOf(77))).restart?.snapshot?.index).toBe(9);
  });

  test.each([
    ['a state before the log', at(3, 2, hashOf(3))],
    ['a state that differs from a committed entry', at(6, 2, hashOf(77))],
    ['a state that differs from the base of the log', at(4, 2, hashOf(77))],
  ])('refuses %s', (_what, applied) => {
    expect(() => reconcile(contents, applied)).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }));
  });

  test('an empty log and an empty state belong together', () => {
    const nothing = at(0, 0, Buffer.from(ZERO_HASH));
    const empty = { hardState: { term: 0, vote: null, commit: 0 }, snapshot: nothing, entries: [] };
    expect(reconcile(empty, nothing).restart).toBeNull();
  });
});

describe('Ticker', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  const poll = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  function started() {
    const clock = new ManualClock();
    const seen = { ticks: 0 };
    const onTick = () => (seen.ticks += 1);
    const ticker = new Ticker({ clock, scheduler: systemScheduler, tickMs: 50, lateTicksMax: 4, onTick });
    ticker.start();
    /** The timer fires once, so long after it did the last time. */
    const fire = (afterMs: number) => {
      clock.advance(afterMs);
      vi.advanceTimersByTime(50);
    };
    return { ticker, seen, fire };
  }

  test('ticks at once when it is in time, and late by two turns after a stall, of which it makes up for little', async () => {
    const { ticker, seen, fire } = started();
    fire(50);
    expect(seen.ticks).toBe(1);
    fire(3_000);
    expect(seen.ticks).toBe(1);
    await poll();
    expect(seen.ticks).toBe(1);
    await poll();
    expect(seen.ticks).toBe(5);
    expect(ticker.lateTicks).toBe(1);
    fire(50);
    expect(seen.ticks).toBe(6);
    ticker.stop();
    fire(50);
    vi.advanceTimersByTime(500);
    expect(seen.ticks).toBe(6);
  });

  test('a timer that is always late costs no time', async () => {
    const { ticker, seen, fire } = started();
    for (let i = 0; i < 100; i += 1) fire(70);
    expect(seen.ticks).toBe(140);
    for (let i = 0; i < 100; i += 1) {
      fire(130);
      await poll();
      await poll();
    }
    expect(seen.ticks).toBe(140 + 260);
    ticker.stop();
  });

  test('who is stopped by a tick is not ticked again', async () => {
    const clock = new ManualClock();
    let ticks = 0;
    const ticker: Ticker = new Ticker({
      clock,
      scheduler: systemScheduler,
      tickMs: 50,
      lateTicksMax: 4,
      onTick: () => {
        ticks += 1;
        ticker.stop();
      },
    });
    ticker.start();
    clock.advance(500);
    vi.advanceTimersByTime(50);
    await poll();
    await poll();
    expect(ticks).toBe(1);
  });
});

describe('ReadBarriers', () => {
  function barriers() {
    const clock = new ManualClock();
    const asked: number[] = [];
    return { clock, asked, reads: new ReadBarriers({ clock, request: (id) => asked.push(id) }) };
  }

  test('all that wait share a request; who comes after it left does not join it', async () => {
    const { reads, asked } = barriers();
    const first = [reads.add(100), reads.add(100)];
    reads.ask();
    const late = reads.add(100);
    let lateDone = false;
    void late.then(() => (lateDone = true));
    reads.answer({ requestId: 1, index: 7 });
    expect(await Promise.all(first)).toEqual([7, 7]);
    await Promise.resolve();
    expect(lateDone).toBe(false);
    reads.ask();
    expect(asked).toEqual([1, 2]);
    reads.answer({ requestId: 2, index: 9 });
    expect(await late).toBe(9);
  });

  test('an empty answer is asked again under a new id, after a tick; late answers to the old id are dropped', async () => {
    const { reads, asked } = barriers();
    const read = reads.add(100);
    reads.ask();
    reads.answer({ requestId: 1, index: null });
    reads.ask();
    expect(asked).toEqual([1]);
    reads.tick({ leaderKnown: true });
    reads.ask();
    expect(asked).toEqual([1, 2]);
    reads.answer({ requestId: 1, index: 3 });
    reads.answer({ requestId: 2, index: 8 });
    expect(await read).toBe(8);
  });

  test('deadlines end the wait, with the reason', async () => {
    const { reads, clock } = barriers();
    const asked = reads.add(100);
    reads.ask();
    const waiting = reads.add(200);
    clock.advance(150);
    reads.tick({ leaderKnown: true });
    await expect(asked).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    clock.advance(50);
    reads.tick({ leaderKnown: false });
    await expect(waiting).rejects.toMatchObject({ code: 'NO_LEADER' });
  });

  test('requests under way are bounded', () => {
    const { reads, asked } = barriers();
    for (let i = 0; i < 10; i += 1) {
      void reads.add(100);
      reads.ask();
    }
    expect(asked).toEqual([1, 2, 3, 4]);
  });

  test('stop rejects all, and what comes later', async () => {
    const { reads } = barriers();
    const error = expect.objectContaining({ code: 'UNAVAILABLE' });
    const { HoldfastError } = await import('../../../src/base/errors.ts');
    const read = reads.add(100);
    reads.stop(new HoldfastError('UNAVAILABLE', 'stopping'));
    await expect(read).rejects.toEqual(error);
    await expect(reads.add(100)).rejects.toEqual(error);
  });
});

describe('Applier', () => {
  function applier(slowMs = 0) {
    const clock = new ManualClock();
    const applied: number[] = [];
    const made = new Applier({
      clock,
      sliceMs: 5,
      applied: 4,
      configuration,
      apply: ({ index }) => {
        applied.push(index);
        clock.advance(slowMs);
      },
    });
    return { made, applied };
  }

  test('gives way after its slice of time', () => {
    const { made, applied } = applier(1);
    made.add(entries(5, 104));
    expect(made.slice()).toBe(true);
    expect(applied.length).toBeLessThan(20);
    while (made.slice());
    expect(applied).toEqual(Array.from({ length: 100 }, (_, i) => 5 + i));
    expect(made.applied).toBe(104);
  });

  test('refuses a gap and a repetition (I13)', () => {
    for (const first of [4, 6]) {
      const { made } = applier();
      made.add(entries(first, first));
      expect(() => made.slice()).toThrow(/I13/);
    }
  });

  test('is not restarted under entries that wait (I20)', () => {
    const { made } = applier();
    made.add(entries(5, 5));
    expect(() => made.restart(at(9, 2, hashOf(9)))).toThrow(/I20/);
  });
});

describe('Backlog', () => {
  function backlog(bytesMax: number) {
    const window = windowOf({ entries: 10, bytes: 1_000_000 });
    window.add(entries(1, 40, 36));
    return new Backlog({ bytesMax, durable: 4, sizes: window });
  }

  test('is what is committed and not in the state on disk', () => {
    const made = backlog(10_000);
    made.committed(14);
    expect(made.bytes).toBe(1_000);
    made.durable(10);
    expect(made.bytes).toBe(400);
    made.durable(9);
    made.committed(12);
    expect(made.bytes).toBe(400);
    made.durable(14);
    expect(made.bytes).toBe(0);
  });

  test('begins anew behind a snapshot past all of it', () => {
    const made = backlog(10_000);
    made.committed(14);
    made.durable(20);
    expect(made.bytes).toBe(0);
    made.committed(21);
    expect(made.bytes).toBe(100);
  });

  test('is full from its bound on, until an eighth is free again', () => {
    const made = backlog(1_600);
    made.committed(19);
    expect(made.full).toBe(false);
    made.committed(20);
    expect(made.full).toBe(true);
    made.durable(5);
    expect([made.bytes, made.full]).toEqual([1_500, true]);
    made.durable(6);
    expect([made.bytes, made.full]).toEqual([1_400, true]);
    made.durable(7);
    expect([made.bytes, made.full]).toEqual([1_300, false]);
    made.committed(22);
    expect([made.bytes, made.full]).toEqual([1_500, false]);
  });
});

describe('CompactionWindow', () => {
  test('keeps the trailing entries', () => {
    const window = windowOf({ entries: 10, bytes: 1_000_000 });
    window.add(entries(1, 30));
    expect(window.target(8, nobody)).toBeNull();
    expect(window.target(25, nobody)).toBe(15);
    window.compacted(15);
    expect(window.target(25, nobody)).toBeNull();
    expect(window.target(30, nobody)).toBe(20);
  });

  test('keeps fewer when they are large', () => {
    const window = windowOf({ entries: 100, bytes: 3_000 });
    window.add(entries(1, 30, 1_000));
    expect(window.target(30, nobody)).toBe(28);
  });

  test('follows a suffix that was replaced', () => {
    const window = windowOf({ entries: 100, bytes: 3_000 });
    window.add(entries(1, 30, 1_000));
    window.add(entries(11, 20, 1));
    expect(window.target(20, nobody)).toBe(8);
  });

  test('keeps what members that are catching up need, up to a bound', () => {
    const window = windowOf({ entries: 10, bytes: 1_000_000 }, { entries: 20, bytes: 1_000_000 });
    window.add(entries(1, 30));
    expect(window.target(30, () => 12)).toBe(12);
    expect(window.target(30, () => 3)).toBe(10);
    expect(window.target(30, () => 25)).toBe(20);
    expect(window.target(20, () => 0)).toBeNull();
  });
});
