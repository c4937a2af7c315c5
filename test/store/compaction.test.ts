import { afterEach, describe, expect, it } from 'vitest';
import type { HistoryBounds } from '../../src/store/compaction.ts';
import { HISTORY_BOUNDS } from '../../src/store/state.ts';
import { codeOf, command, put, remove, StoreRig, write } from './storeRig.ts';

const BOUNDS: HistoryBounds = {
  revisionsKept: 5,
  revisionsMax: 20,
  ageMs: 1_000,
  bytesMax: 10_000,
  stepRecordsMax: 100,
};

describe('compaction', () => {
  let rig: StoreRig;
  const start = async (bounds: Partial<HistoryBounds> = {}) => {
    rig = await StoreRig.create({ history: { ...BOUNDS, ...bounds } });
  };
  const puts = (count: number, key = 'hot') => {
    for (let round = 0; round < count; round += 1) rig.run(put(key, `v${round}`));
  };
  const tick = () => rig.apply(command({ advanceTime: {} }));
  const versions = (key: string) =>
    rig.store.history({ key, limit: 0, keysOnly: true }).versions.map(({ item }) => item.modRevision);
  afterEach(() => rig.destroy());

  it('keeps the newest revisions, however old they are', async () => {
    await start();
    puts(5);
    rig.timeMs += BOUNDS.ageMs * 10;
    tick();
    expect([rig.store.compactedRevision, versions('hot')]).toEqual([0, [5, 4, 3, 2, 1]]);
    puts(1);
    expect([rig.store.compactedRevision, versions('hot')]).toEqual([1, [6, 5, 4, 3, 2, 1]]);
    puts(1);
    expect([rig.store.compactedRevision, versions('hot')]).toEqual([2, [7, 6, 5, 4, 3, 2]]);
  });

  it('keeps older ones until their age is reached, to the millisecond', async () => {
    await start();
    puts(8);
    expect(rig.store.dueMs).toBe(rig.timeMs + BOUNDS.ageMs);
    rig.timeMs += BOUNDS.ageMs - 1;
    tick();
    expect(rig.store.compactedRevision).toBe(0);
    rig.timeMs += 1;
    tick();
    expect(rig.store.compactedRevision).toBe(3);
    expect(versions('hot')).toEqual([8, 7, 6, 5, 4, 3]);
  });

  it('never keeps more than the most revisions', async () => {
    await start();
    puts(25);
    expect(rig.store.compactedRevision).toBe(5);
    expect(rig.store.size.historyRecords).toBe(20);
  });

  it('never keeps more than the most bytes of history, and never drops what exists', async () => {
    await start({ bytesMax: 100 });
    rig.run(put('still', 'x'.repeat(500)));
    for (let round = 0; round < 10; round += 1) rig.run(put('hot', 'x'.repeat(27)));
    expect(rig.store.size.historyBytes).toBe(90);
    expect(rig.store.compactedRevision).toBe(8);
    expect(rig.store.get('still')?.value).toHaveLength(500);
  });

  it('takes a deletion away with what it deleted, and the name with it', async () => {
    await start();
    rig.run(put('gone', 'v'));
    rig.run(remove('gone'));
    rig.run(put('back', 'v'));
    rig.run(remove('back'));
    rig.run(put('back', 'w'));
    rig.apply(command({ compact: { revision: 4 } }));
    expect([versions('gone'), versions('back')]).toEqual([[], [5]]);
    expect(rig.store.size).toMatchObject({ liveKeys: 1, historyBytes: 0, historyRecords: 1 });
    expect(rig.store.get('gone', 4)).toBeNull();
    expect(rig.store.get('back')).toMatchObject({ version: 1, createRevision: 5 });
  });

  it.each([
    [3, 'none'],
    [5, 'none'],
    [6, 'FUTURE_REVISION'],
    [0, 'INVALID_ARGUMENT'],
  ])('on demand to revision %i of 5: %s', async (revision, code) => {
    await start();
    puts(5);
    expect(codeOf(rig.apply(command({ compact: { revision } }))[0])).toBe(code);
    expect(rig.store.compactedRevision).toBe(code === 'none' ? revision : 0);
  });

  it('on demand twice to the same revision is refused', async () => {
    await start();
    puts(5);
    const compact = command({ compact: { revision: 3 } });
    expect(rig.apply(compact, compact).map(codeOf)).toEqual(['none', 'COMPACTED']);
  });

  it('makes reads below the point fail, and those at it work', async () => {
    await start();
    puts(5);
    rig.apply(command({ compact: { revision: 3 } }));
    expect(Buffer.from(rig.store.get('hot', 3)?.value ?? '').toString()).toBe('v2');
    expect(() => rig.store.get('hot', 2)).toThrow(expect.objectContaining({ code: 'COMPACTED' }));
    expect(() => rig.store.get('hot', 6)).toThrow(expect.objectContaining({ code: 'FUTURE_REVISION' }));
  });

  it('does a bounded part for each entry, shows none of the rest, and goes on after a restart as without one', async () => {
    await start({ stepRecordsMax: 3, revisionsMax: 1_000 });
    rig.apply(write(Array.from({ length: 20 }, (_, position) => put(`k${position}`, 'a'))));
    rig.apply(write(Array.from({ length: 20 }, (_, position) => put(`k${position}`, 'b'))));
    rig.run(remove('k18'));
    rig.apply(command({ compact: { revision: 3 } }));
    expect(rig.store.size.historyRecords).toBeGreaterThan(10);
    expect(rig.store.dueMs).toBe(0);
    expect([versions('k19'), versions('k18')]).toEqual([[2], []]);
    const digests: string[] = [];
    for (let round = 0; round < 8; round += 1) {
      if (round % 3 === 1) await rig.reopen();
      tick();
      digests.push(rig.store.digest.toString('hex'));
    }
    const other = await StoreRig.create({ history: { ...BOUNDS, stepRecordsMax: 3, revisionsMax: 1_000 } });
    const expected: string[] = [];
    other.apply(write(Array.from({ length: 20 }, (_, position) => put(`k${position}`, 'a'))));
    other.apply(write(Array.from({ length: 20 }, (_, position) => put(`k${position}`, 'b'))));
    other.run(remove('k18'));
    other.apply(command({ compact: { revision: 3 } }));
    for (let round = 0; round < 8; round += 1) {
      other.apply(command({ advanceTime: {} }));
      expected.push(other.store.digest.toString('hex'));
    }
    await other.destroy();
    expect(digests).toEqual(expected);
    expect(new Set(digests).size).toBeGreaterThan(4);
    expect([rig.store.size.historyRecords, rig.store.size.historyBytes, rig.store.dueMs]).toEqual([
      0,
      0,
      null,
    ]);
  });

  it('keeps pace with entries that write far more than a step', async () => {
    await start({ stepRecordsMax: 1 });
    for (let round = 0; round < 30; round += 1) {
      rig.apply(...Array.from({ length: 10 }, (_, position) => write([put(`k${position}`, 'v')])));
    }
    expect(rig.store.size.historyRecords).toBe(BOUNDS.revisionsMax);
  });

  it('has the promised bounds by default', () => {
    expect(HISTORY_BOUNDS).toEqual({
      revisionsKept: 100_000,
      revisionsMax: 1_000_000,
      ageMs: 3_600_000,
      bytesMax: 4 * 2 ** 30,
      stepRecordsMax: 2_000,
    });
    return start();
  });
});
