import { describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { DiskWal, type DiskWalOptions } from '../../../src/replication/wal/diskWal.ts';
import { WATERMARK_SLOT_BYTES, writeSlot } from '../../../src/replication/wal/watermark.ts';
import { batchOf, EMPTY, metadataAt, run, ZERO_END } from '../../suites/writeAheadLogModel.ts';
import {
  inMemory,
  keptAside,
  type MemoryLogOptions,
  opened,
  refusal,
  STORE,
  segmentPaths,
  watermarkPath,
} from './logOnDisk.ts';
import { MemoryFiles } from './memoryFiles.ts';

/** After so many removals the machine stops. */
class StoppingRemovals extends MemoryFiles {
  left = Number.POSITIVE_INFINITY;

  override remove(path: string): Promise<void> {
    if (path.endsWith('.wal')) this.left -= 1;
    return this.left < 0 ? Promise.reject(new Error('EIO: i/o error')) : super.remove(path);
  }
}

interface StoppedRemoval {
  readonly options: MemoryLogOptions;
  /** The segments that were there when the removal began. */
  readonly segments: number;
}

/** Segments, one of which cuts what the one before holds, and most of them not needed any more: entry 13 is all. */
async function stoppedRemoval(after: number): Promise<StoppedRemoval> {
  const files = new StoppingRemovals();
  const options = { ...inMemory(), files };
  const wal = await DiskWal.create(options, EMPTY);
  const first = run(ZERO_END, 6, 1, 900);
  for (const entry of first) await wal.append(batchOf([entry], { commit: Math.min(entry.index, 2) }));
  const second = run(present(first[1], 'entry 2'), 11, 2, 900);
  for (const entry of second) await wal.append(batchOf([entry], { term: 2, commit: 2 }));
  await wal.append(batchOf([], { term: 2, commit: 13 }));
  const segments = (await segmentPaths(options)).length;
  files.left = after;
  const released = wal.release(metadataAt(present(second.at(-2), 'entry 12')));
  if (Number.isFinite(after)) await expect(released).rejects.toMatchObject({ code: 'DISK_FAILED' });
  else await released;
  await wal.close();
  files.left = Number.POSITIVE_INFINITY;
  return { options, segments };
}

async function expectWhole(options: DiskWalOptions): Promise<void> {
  const { snapshot, entries, suspicion } = await opened(options);
  expect(suspicion).toBeNull();
  expect([snapshot.index, entries.map(({ index }) => index)]).toEqual([12, [13]]);
}

describe('a stop between two removals', () => {
  it('leaves the log whole, and the next start goes on with them', async () => {
    const whole = await stoppedRemoval(Number.POSITIVE_INFINITY);
    const stays = await segmentPaths(whole.options);
    const removals = whole.segments - stays.length;
    expect(removals).toBeGreaterThan(3);
    for (let after = 0; after < removals; after += 1) {
      const { options, segments } = await stoppedRemoval(after);
      expect(await segmentPaths(options)).toHaveLength(segments - after);
      await expectWhole(options);
      expect(await segmentPaths(options)).toEqual(stays);
      expect(await keptAside(options)).toEqual([]);
      await expectWhole(options);
    }
  });

  it('does not matter to what was left: damaged or not, it is removed', async () => {
    const { options } = await stoppedRemoval(1);
    const [oldest = '', next = ''] = await segmentPaths(options);
    options.files.put(oldest, Buffer.alloc(4096, 7));
    await options.files.remove(next);
    await expectWhole(options);
    expect(await segmentPaths(options)).not.toContain(oldest);
  });

  it('and damage of what stays: the log is suspect, and what was left is kept aside with the rest', async () => {
    const { options } = await stoppedRemoval(1);
    const paths = await segmentPaths(options);
    const whole = await stoppedRemoval(Number.POSITIVE_INFINITY);
    const [begins = ''] = await segmentPaths(whole.options);
    const damaged = await options.files.read(begins);
    damaged[20] = (damaged[20] ?? 0) ^ 1;
    options.files.put(begins, damaged);
    for (let time = 0; time < 2; time += 1) {
      const { suspicion, entries } = await opened(options);
      expect([suspicion?.until.index, suspicion?.until.term, entries]).toEqual([13, 2, []]);
    }
    expect(await keptAside(options)).toHaveLength(paths.length);
  });
});

describe('older segments', () => {
  it('are not left out for a watermark whose first segment is gone', async () => {
    const { options } = await stoppedRemoval(0);
    const whole = await stoppedRemoval(Number.POSITIVE_INFINITY);
    for (const path of await segmentPaths(whole.options)) await options.files.remove(path);
    const { suspicion, entries } = await opened(options);
    expect(suspicion?.until.index).toBe(13);
    expect(entries.length).toBeGreaterThan(0);
  });

  it.each([1, 18])(
    'are not left out for the watermark of another log, which is refused: record %i',
    async (record) => {
      const { options, segments } = await stoppedRemoval(0);
      const before = await segmentPaths(options);
      const hardState = { term: 2, vote: null, commit: 1 };
      const last = { index: 1, term: 1, hash: Buffer.alloc(32, 1) };
      const watermark = { record, hardState, last, suspectUntil: null, firstSegment: segments };
      const slots = Buffer.alloc(2 * WATERMARK_SLOT_BYTES);
      writeSlot({ sequence: 9, storeId: STORE, watermark }, slots.subarray(0, WATERMARK_SLOT_BYTES));
      options.files.put(watermarkPath(options), slots);
      expect(await refusal(options)).toMatchObject({ code: 'LOG_CORRUPT' });
      expect(await segmentPaths(options)).toEqual(before);
    },
  );

  it('are not left out while no watermark names a first segment', async () => {
    const { options } = await stoppedRemoval(0);
    options.files.put(watermarkPath(options), Buffer.alloc(2 * WATERMARK_SLOT_BYTES, 7));
    await expectWhole(options);
  });
});
