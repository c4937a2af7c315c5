import { describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import type { StoreId } from '../../../src/base/ids.ts';
import { DiskWal } from '../../../src/replication/wal/diskWal.ts';
import { WATERMARK_SLOT_BYTES } from '../../../src/replication/wal/watermark.ts';
import { batchOf, EMPTY, metadataAt, NODE_A, plain, run, ZERO_END } from '../../suites/writeAheadLogModel.ts';
import {
  expectSuspect,
  inMemory,
  onlySegment,
  opened,
  recordOffsets,
  refusal,
  segmentPaths,
  watermarkPath,
  writtenLog,
} from './logOnDisk.ts';

describe('the watermark', () => {
  it('survives a torn write of a slot at every byte, with what the other slot says', async () => {
    const log = await writtenLog(inMemory(), { batches: 3 });
    const files = log.options.files.copy();
    const path = watermarkPath(log.options);
    const whole = await log.options.files.read(path);
    const { path: segment, whole: records } = await onlySegment(log.options);
    const offsets = recordOffsets(records);
    for (const slot of [0, 1]) {
      for (let torn = 0; torn < 200; torn += 1) {
        log.options.files.restore(files);
        const damaged = Buffer.from(whole);
        const from = slot * WATERMARK_SLOT_BYTES;
        damaged.fill(0xa5, from + torn, from + WATERMARK_SLOT_BYTES);
        log.options.files.put(path, damaged);
        log.options.files.put(segment, records.subarray(0, offsets[1]));
        const { suspicion, hardState } = await opened(log.options);
        expect(suspicion?.until.index).toBeGreaterThanOrEqual(2);
        expect(hardState).toMatchObject({ term: 1, vote: NODE_A });
      }
    }
  });

  it.each(['unreadable', 'missing'] as const)(
    'that is %s makes no whole log suspect, and is made anew',
    async (how) => {
      const log = await writtenLog(inMemory(), { batches: 3 });
      if (how === 'missing') await log.options.files.remove(watermarkPath(log.options));
      else log.options.files.put(watermarkPath(log.options), Buffer.alloc(2 * WATERMARK_SLOT_BYTES, 7));
      const contents = await opened(log.options);
      expect([plain(contents), contents.suspicion]).toEqual([log.after[3], null]);
      const { path, whole } = await onlySegment(log.options);
      log.options.files.put(path, whole.subarray(0, present(recordOffsets(whole)[2], 'offset')));
      await expectSuspect(log);
    },
  );

  it.each(['unreadable', 'missing'] as const)(
    'that is %s beside a damaged log leaves term and vote unsure: refused, and nothing is changed',
    async (how) => {
      const log = await writtenLog(inMemory(), { batches: 4 });
      const { path, whole } = await onlySegment(log.options);
      whole[120] = (whole[120] ?? 0) ^ 1;
      log.options.files.put(path, whole);
      if (how === 'missing') await log.options.files.remove(watermarkPath(log.options));
      else log.options.files.put(watermarkPath(log.options), Buffer.alloc(2 * WATERMARK_SLOT_BYTES, 7));
      const before = await log.options.files.list(log.options.directory);
      const error = await refusal(log.options);
      expect(error).toMatchObject({ code: 'LOG_CORRUPT' });
      expect(error.message).toContain(`its watermark is ${how}`);
      expect(error.hint).toMatch(/nothing was changed/);
      expect(await log.options.files.read(path)).toEqual(whole);
      expect(await log.options.files.list(log.options.directory)).toEqual(before);
    },
  );

  it.each(['unreadable', 'missing'] as const)(
    'that is %s beside a log that was mended leaves unsure whether that is suspect: refused, and nothing is changed',
    async (how) => {
      const log = await writtenLog(inMemory(), { batches: 4 });
      const { path, whole } = await onlySegment(log.options);
      const [, , second = 0] = recordOffsets(whole);
      whole[second + 30] = (whole[second + 30] ?? 0) ^ 1;
      log.options.files.put(path, whole);
      await expectSuspect(log);
      if (how === 'missing') await log.options.files.remove(watermarkPath(log.options));
      else log.options.files.put(watermarkPath(log.options), Buffer.alloc(2 * WATERMARK_SLOT_BYTES, 7));
      const before = log.options.files.copy();
      const error = await refusal(log.options);
      expect(error).toMatchObject({ code: 'LOG_CORRUPT' });
      expect(error.message).toContain('0000000000000001.wal.0001.damaged tells that the log lost entries');
      expect(error.message).toContain(`its watermark is ${how}`);
      expect(log.options.files.copy()).toEqual(before);
    },
  );

  it("of another log, or of another store's, is refused", async () => {
    const ours = await writtenLog(inMemory(), { batches: 3 });
    const theirs = await writtenLog(inMemory(), { batches: 3, payloadBytes: 21 });
    ours.options.files.put(
      watermarkPath(ours.options),
      await theirs.options.files.read(watermarkPath(theirs.options)),
    );
    const error = await refusal(ours.options);
    expect(error).toMatchObject({ code: 'LOG_CORRUPT' });
    expect(error.message).toContain('is not the one that the watermark names');
    const other = await writtenLog(inMemory({ storeId: 'ffffffffffffffff' as StoreId }), { batches: 3 });
    ours.options.files.put(
      watermarkPath(ours.options),
      await other.options.files.read(watermarkPath(other.options)),
    );
    expect(await refusal(ours.options)).toMatchObject({ code: 'DATA_DIR_INVALID' });
  });

  it('is not fooled by a cut that leaves the log shorter than it was', async () => {
    const options = inMemory();
    const wal = await DiskWal.create(options, EMPTY);
    const entries = run(ZERO_END, 10);
    await wal.append(batchOf(entries));
    await wal.close();
    const named = await options.files.read(watermarkPath(options));
    const { wal: again } = await DiskWal.open(options);
    await again.append(batchOf(run(present(entries[2], 'entry'), 1, 2), { term: 2 }));
    await again.close();
    options.files.put(watermarkPath(options), named);
    const { suspicion, entries: found } = await opened(options);
    expect([suspicion, found.length]).toEqual([null, 4]);
  });

  it('begins with the log, also with one that begins with entries', async () => {
    const options = inMemory();
    const entries = run(ZERO_END, 3);
    const contents = { ...EMPTY, hardState: { term: 1, vote: NODE_A, commit: 3 }, entries };
    await (await DiskWal.create(options, contents)).close();
    const { path, whole } = await onlySegment(options);
    options.files.put(path, whole.subarray(0, recordOffsets(whole)[1]));
    const found = await opened(options);
    expect(found.suspicion?.until.index).toBe(3);
    expect(found.hardState).toMatchObject({ term: 1, vote: NODE_A });
  });

  it('stays right when the segments that it once named are removed', async () => {
    const options = inMemory();
    const wal = await DiskWal.create(options, EMPTY);
    const entries = run(ZERO_END, 20, 1, 400);
    for (const entry of entries) await wal.append(batchOf([entry], { commit: entry.index }));
    await wal.roll();
    await wal.release(metadataAt(present(entries[19], 'entry')));
    await wal.close();
    expect(await segmentPaths(options)).toHaveLength(1);
    expect((await opened(options)).suspicion).toBeNull();
  });
});
