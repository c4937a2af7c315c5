import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { DiskWal } from '../../../src/replication/wal/diskWal.ts';
import {
  batchOf,
  EMPTY,
  metadataAt,
  NODE_A,
  NODE_B,
  run,
  ZERO_END,
} from '../../suites/writeAheadLogModel.ts';
import {
  expectSuspect,
  expectSuspectUntil,
  inMemory,
  keptAside,
  onlySegment,
  opened,
  recordOffsets,
  SEGMENT_BYTES,
  segmentPaths,
  unnamedLog,
  writtenLog,
} from './logOnDisk.ts';

describe('a log that ends before its watermark', () => {
  it.each(['truncated', 'zeroed'] as const)(
    'is suspect, %s at every byte of what was written',
    async (how) => {
      const log = await writtenLog(inMemory(), { batches: 3 });
      const { path, whole } = await onlySegment(log.options);
      const files = log.options.files.copy();
      const [header = 0, , , end = 0] = recordOffsets(whole).slice(1);
      for (let cut = header; cut < end; cut += 1) {
        log.options.files.restore(files);
        const damaged = Buffer.from(how === 'truncated' ? whole.subarray(0, cut) : whole);
        if (how === 'zeroed') damaged.fill(0, cut, end);
        log.options.files.put(path, damaged);
        if (damaged.equals(whole)) continue;
        const contents = await opened(log.options);
        expect(contents.suspicion?.until).toMatchObject({ index: log.lastIndex, term: 1 });
        expect(contents.hardState).toMatchObject({ term: 1, vote: NODE_A });
        const sound = recordOffsets(whole).filter((offset) => offset <= cut).length - 2;
        expect(contents.entries).toHaveLength(sound * 2);
      }
    },
  );

  it('is suspect when its newest segment is gone, and goes on in the one before', async () => {
    const log = await writtenLog(inMemory(), { batches: 12, payloadBytes: 400 });
    const newest = present((await segmentPaths(log.options)).at(-1), 'segment');
    await log.options.files.remove(newest);
    const contents = await expectSuspect(log);
    expect(contents.suspicion?.reason).toMatch(/the log ends at record \d+, but record 12 was durable/);
    const { wal } = await DiskWal.open(log.options);
    await wal.append(batchOf(run(present(contents.entries.at(-1), 'entry'), 1, 7), { term: 7, commit: 9 }));
    await wal.close();
    expect((await expectSuspectUntil(log.options, log.lastIndex)).entries.at(-1)?.term).toBe(7);
  });

  it('is suspect when its last 4 KiB are zeros', async () => {
    const log = await writtenLog(inMemory({ segmentBytes: 8 * SEGMENT_BYTES }), {
      batches: 40,
      payloadBytes: 100,
    });
    const { path, whole } = await onlySegment(log.options);
    const end = present(recordOffsets(whole).at(-1), 'offset');
    whole.fill(0, end - 4096, end);
    log.options.files.put(path, whole);
    await expectSuspect(log);
    expect(await keptAside(log.options)).toEqual(['0000000000000001.wal.0001.damaged']);
  });

  it('keeps the vote that only the watermark knows', async () => {
    const options = inMemory();
    const wal = await DiskWal.create(options, EMPTY);
    await wal.append(batchOf(run(ZERO_END, 2)));
    const { path, whole } = await onlySegment(options);
    await wal.append(batchOf([], { term: 5, vote: NODE_B }));
    await wal.close();
    options.files.put(path, whole);
    expect((await opened(options)).hardState).toMatchObject({ term: 5, vote: NODE_B });
    expect((await opened(options)).hardState).toMatchObject({ term: 5, vote: NODE_B });
  });

  it('is suspect up to where it first was, though it is cut once more', async () => {
    const log = await writtenLog(inMemory(), { batches: 4 });
    const { path, whole } = await onlySegment(log.options);
    log.options.files.put(path, whole.subarray(0, recordOffsets(whole)[2]));
    const { wal, contents } = await DiskWal.open(log.options);
    await wal.append(
      batchOf(run(present(contents.entries.at(-1), 'entry'), 1, 1), { vote: NODE_A, commit: 1 }),
    );
    await wal.close();
    const { whole: shorter } = await onlySegment(log.options);
    log.options.files.put(path, shorter.subarray(0, recordOffsets(shorter)[1]));
    await expectSuspectUntil(log.options, log.lastIndex);
  });

  it('is not suspect any more once it was cleared', async () => {
    const log = await writtenLog(inMemory(), { batches: 3 });
    const { path, whole } = await onlySegment(log.options);
    log.options.files.put(path, whole.subarray(0, recordOffsets(whole)[2]));
    const { wal, contents } = await DiskWal.open(log.options);
    expect(contents.suspicion).not.toBeNull();
    await wal.suspect(null);
    await wal.close();
    expect((await opened(log.options)).suspicion).toBeNull();
  });

  it('can be marked while it is in use', async () => {
    const log = await writtenLog(inMemory(), { batches: 3 });
    const { wal } = await DiskWal.open(log.options);
    await wal.suspect({ index: 900, term: 4, hash: Buffer.alloc(32, 1) });
    await wal.close();
    expect((await opened(log.options)).suspicion?.until).toMatchObject({ index: 900, term: 4 });
  });
});

describe('damage that no torn write explains', () => {
  it('makes the log suspect wherever a bit is flipped, keeps it aside, and leaves the sound part', async () => {
    const log = await writtenLog(inMemory(), { batches: 4 });
    const { path, whole } = await onlySegment(log.options);
    const files = log.options.files.copy();
    const end = present(recordOffsets(whole).at(-1), 'offset');
    for (let offset = 0; offset < end; offset += 7) {
      log.options.files.restore(files);
      const damaged = Buffer.from(whole);
      damaged[offset] = (damaged[offset] ?? 0) ^ (1 << (offset % 8));
      log.options.files.put(path, damaged);
      const { suspicion } = await expectSuspect(log);
      const [kept = ''] = await keptAside(log.options);
      expect(suspicion?.reason).toContain(kept);
      expect(await log.options.files.read(join(log.options.directory, kept))).toEqual(damaged);
    }
  });

  it('is told with segment and offset', async () => {
    const log = await writtenLog(inMemory(), { batches: 4 });
    const { path, whole } = await onlySegment(log.options);
    const offsets = recordOffsets(whole);
    whole.fill(0, offsets[2], offsets[3]);
    log.options.files.put(path, whole);
    const { suspicion } = await expectSuspect(log);
    expect(suspicion?.reason).toMatch(/0000000000000001\.wal, offset \d+: /);
    expect(suspicion?.reason).toContain(`a sound record follows at offset ${offsets[3]}`);
  });

  it('counts what sound records behind it claim, though no watermark names them', async () => {
    const log = await unnamedLog({ batches: 4 });
    const { path, whole } = await onlySegment(log.options);
    const [, , from = 0] = recordOffsets(whole);
    whole[from + 20] = (whole[from + 20] ?? 0) ^ 1;
    log.options.files.put(path, whole);
    const contents = await expectSuspect(log);
    expect(contents.entries).toHaveLength(2);
  });

  it('is found where sound records change places', async () => {
    const log = await writtenLog(inMemory(), { batches: 4 });
    const { path, whole } = await onlySegment(log.options);
    const [a = 0, b = 0, c = 0, d = 0] = recordOffsets(whole).slice(1);
    const parts = [whole.subarray(0, a), whole.subarray(b, c), whole.subarray(a, b), whole.subarray(c, d)];
    log.options.files.put(path, Buffer.concat([...parts, whole.subarray(d)]));
    expect((await expectSuspect(log)).suspicion?.reason).toContain('out of order');
  });

  it('is found in every part of an older segment, its end included', async () => {
    const log = await writtenLog(inMemory(), { batches: 12, payloadBytes: 400 });
    const path = present((await segmentPaths(log.options))[1], 'segment');
    const files = log.options.files.copy();
    const whole = await log.options.files.read(path);
    const last = present(recordOffsets(whole).at(-2), 'offset');
    for (const damage of [
      whole.subarray(0, last),
      whole.subarray(0, last + 30),
      Buffer.concat([whole.subarray(0, last), Buffer.alloc(SEGMENT_BYTES - last)]),
      Buffer.concat([whole.subarray(0, -1), Buffer.from([1])]),
      Buffer.alloc(SEGMENT_BYTES),
      Buffer.alloc(0),
    ]) {
      log.options.files.restore(files);
      log.options.files.put(path, damage);
      const { entries } = await expectSuspect(log);
      expect(entries.length).toBeGreaterThan(0);
    }
    log.options.files.restore(files);
    expect((await opened(log.options)).suspicion).toBeNull();
  });

  it.each([0, 1, 2])('is found where segment %i is gone', async (which) => {
    const log = await writtenLog(inMemory(), { batches: 16, payloadBytes: 400 });
    const paths = await segmentPaths(log.options);
    expect(paths.length).toBeGreaterThan(3);
    await log.options.files.remove(present(paths[which], 'segment'));
    const { suspicion, entries } = await expectSuspect(log);
    expect(suspicion?.reason).toMatch(/missing/);
    expect(entries.length > 0).toBe(which > 0);
    expect(await keptAside(log.options)).toHaveLength(paths.length - 1 - which);
  });

  it('leaves nothing where it hit the record without which the log lacks its beginning', async () => {
    const options = inMemory();
    const wal = await DiskWal.create(options, EMPTY);
    const entries = run(ZERO_END, 40, 1, 400);
    for (const entry of entries) await wal.append(batchOf([entry], { vote: NODE_A, commit: entry.index }));
    await wal.release(metadataAt(present(entries[39], 'entry')));
    await wal.close();
    const { path, whole } = await onlySegment(options);
    const at = present(recordOffsets(whole).at(-2), 'the record of the release') + 30;
    whole[at] = (whole[at] ?? 0) ^ 1;
    options.files.put(path, whole);
    const contents = await expectSuspectUntil(options, 40);
    expect([contents.snapshot.index, contents.entries]).toEqual([0, []]);
    expect(contents.hardState).toEqual({ term: 1, vote: NODE_A, commit: 0 });
    expect((await expectSuspectUntil(options, 40)).entries).toEqual([]);
  });

  it("is found where a segment is exchanged for one of another node's log", async () => {
    const ours = await writtenLog(inMemory(), { batches: 12, payloadBytes: 400 });
    const theirs = await writtenLog(inMemory(), { batches: 12, payloadBytes: 401 });
    const from = present((await segmentPaths(theirs.options))[1], 'segment');
    ours.options.files.put(
      present((await segmentPaths(ours.options))[1], 'segment'),
      await theirs.options.files.read(from),
    );
    const { suspicion } = await expectSuspect(ours);
    expect(suspicion?.reason).toContain('does not go on where the one before ended');
  });

  it('is found in an entry whose hash was wrong when it was written', async () => {
    const options = inMemory();
    const wal = await DiskWal.create(options, EMPTY);
    const [first, second] = run(ZERO_END, 2);
    await wal.append(batchOf([{ ...present(first, 'entry'), payload: Buffer.from('other') }]));
    await wal.append(batchOf([present(second, 'entry')]));
    await wal.close();
    const { suspicion, entries } = await opened(options);
    expect(suspicion?.reason).toContain('I3: the hash of entry 1');
    expect(entries).toEqual([]);
  });

  it('keeps no more files aside than the bound, and says which are removed', async () => {
    const log = await writtenLog(inMemory(), { batches: 4 });
    const reasons: string[] = [];
    for (let time = 0; time < LIMITS.walKeptAsideMax + 2; time += 1) {
      const { wal, contents } = await DiskWal.open(log.options);
      reasons.push(contents.suspicion?.reason ?? '');
      await wal.append(
        batchOf(run(contents.entries.at(-1) ?? ZERO_END, 2, time + 2), { term: time + 2, commit: 3 }),
      );
      await wal.close();
      const { path, whole } = await onlySegment(log.options);
      const at = present(recordOffsets(whole).at(-2), 'offset') + 30;
      whole[at] = (whole[at] ?? 0) ^ 1;
      log.options.files.put(path, whole);
    }
    reasons.push((await opened(log.options)).suspicion?.reason ?? '');
    expect(await keptAside(log.options)).toHaveLength(LIMITS.walKeptAsideMax);
    expect(reasons.at(-1)).toContain('removed: 0000000000000001.wal.0002.damaged');
  });
});
