import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import type { StoreId } from '../../../src/base/ids.ts';
import { DiskWal, type DiskWalOptions } from '../../../src/replication/wal/diskWal.ts';
import { writeAheadLogSuite } from '../../suites/writeAheadLog.ts';
import { batchOf, EMPTY, metadataAt, plain, run, ZERO_END } from '../../suites/writeAheadLogModel.ts';
import {
  opened,
  recordOffsets,
  refusal,
  SEGMENT_BYTES,
  STORE,
  segmentPaths,
  unnamedLog,
  writtenLog,
} from './logOnDisk.ts';

let root = '';
let directories = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'holdfast-wal-'));
});

afterAll(() => rm(root, { recursive: true, force: true }));

function fresh(): DiskWalOptions {
  directories += 1;
  return { directory: join(root, `wal-${directories}`), storeId: STORE, segmentBytes: SEGMENT_BYTES };
}

describe('DiskWal', () => {
  writeAheadLogSuite({
    place() {
      const options = fresh();
      return Promise.resolve({
        create: (contents) => DiskWal.create(options, contents),
        open: () => DiskWal.open(options),
      });
    },
  });
});

describe('a torn last record', () => {
  it.each(['truncated', 'zeroed', 'overwritten'] as const)('is cut, %s at every byte', async (how) => {
    const { options, after } = await unnamedLog({ batches: 3 });
    const path = present((await segmentPaths(options))[0], 'segment');
    const files = options.files.copy();
    const whole = await options.files.read(path);
    const [from = 0, to = 0] = recordOffsets(whole).slice(-2);
    for (let cut = from; cut < to; cut += 1) {
      options.files.restore(files);
      const damaged = Buffer.from(how === 'truncated' ? whole.subarray(0, cut) : whole);
      if (how !== 'truncated') damaged.fill(how === 'zeroed' ? 0 : 0xee, cut, to);
      options.files.put(path, damaged);
      const contents = await opened(options);
      expect(plain(contents)).toEqual(after[damaged.equals(whole) ? 3 : 2]);
      expect(contents.suspicion).toBeNull();
      const healed = await options.files.read(path);
      expect(healed).toHaveLength(SEGMENT_BYTES);
      if (!damaged.equals(whole)) expect(healed.subarray(from).every((byte) => byte === 0)).toBe(true);
    }
  });

  it('is cut whichever of its bits is flipped', async () => {
    const { options, after } = await unnamedLog({ batches: 3 });
    const path = present((await segmentPaths(options))[0], 'segment');
    const files = options.files.copy();
    const whole = await options.files.read(path);
    const [from = 0, to = 0] = recordOffsets(whole).slice(-2);
    for (let offset = from; offset < to; offset += 1) {
      options.files.restore(files);
      const damaged = Buffer.from(whole);
      damaged[offset] = (damaged[offset] ?? 0) ^ (1 << (offset % 8));
      options.files.put(path, damaged);
      const contents = await opened(options);
      expect(plain(contents)).toEqual(after[2]);
      expect(contents.suspicion).toBeNull();
    }
  });

  it('leaves a log that can be written on', async () => {
    const { options, after } = await unnamedLog({ batches: 3 });
    const path = present((await segmentPaths(options))[0], 'segment');
    const whole = await options.files.read(path);
    const [from = 0] = recordOffsets(whole).slice(-2);
    options.files.put(path, whole.subarray(0, from + 60));
    const { wal, contents } = await DiskWal.open(options);
    expect(plain(contents)).toEqual(after[2]);
    const next = batchOf(run(present(contents.entries.at(-1), 'entry'), 40, 2, 90), { commit: 1 });
    await wal.append(next);
    await wal.close();
    expect((await opened(options)).entries).toHaveLength(44);
  });
});

describe('opening', () => {
  it('never makes a log where there is none', async () => {
    const options = fresh();
    expect(await refusal(options)).toMatchObject({ code: 'DATA_DIR_INVALID' });
    await (await DiskWal.create(options, EMPTY)).close();
    for (const path of await segmentPaths(options)) await rm(path);
    expect(await refusal(options)).toMatchObject({ code: 'DATA_DIR_INVALID' });
    expect(await readdir(options.directory)).toEqual(['watermark']);
  });

  it("refuses another store's log", async () => {
    const { options } = await writtenLog(fresh(), { batches: 1 });
    const error = await refusal({ ...options, storeId: 'ffffffffffffffff' as StoreId });
    expect(error).toMatchObject({ code: 'DATA_DIR_INVALID' });
    expect(error.message).toContain(STORE);
    await rm(join(options.directory, 'watermark'));
    expect(await refusal({ ...options, storeId: 'ffffffffffffffff' as StoreId })).toMatchObject({
      code: 'DATA_DIR_INVALID',
      message: expect.stringContaining(STORE),
    });
  });

  it('drops a segment that was still being prepared', async () => {
    const { options, after } = await writtenLog(fresh(), { batches: 2 });
    const leftover = join(options.directory, 'next.prepared');
    await writeFile(leftover, 'half');
    expect(plain(await opened(options))).toEqual(after[2]);
    expect(await readdir(options.directory)).not.toContain('next.prepared');
  });
});

describe('segments', () => {
  it('have their full size before anything is written to them', async () => {
    const { options } = await writtenLog(fresh(), { batches: 12, payloadBytes: 400 });
    for (const path of await segmentPaths(options)) expect(await readFile(path)).toHaveLength(SEGMENT_BYTES);
  });

  it('grow for a record that is larger than a segment', async () => {
    const options = fresh();
    const wal = await DiskWal.create(options, EMPTY);
    const entries = run(ZERO_END, 3, 1, 30_000);
    await wal.append(batchOf(entries.slice(0, 2)));
    await wal.append(batchOf(entries.slice(2)));
    await wal.close();
    expect((await opened(options)).entries).toHaveLength(3);
  });

  it('are removed by a release once all their entries are below it', async () => {
    const options = fresh();
    const wal = await DiskWal.create(options, EMPTY);
    const entries = run(ZERO_END, 60, 1, 400);
    for (const entry of entries) await wal.append(batchOf([entry], { commit: entry.index }));
    const before = (await segmentPaths(options)).length;
    await wal.release(metadataAt(present(entries[29], 'entry')));
    const between = (await segmentPaths(options)).length;
    await wal.roll();
    await wal.release(metadataAt(present(entries[59], 'entry')));
    const paths = await segmentPaths(options);
    await wal.close();
    expect(before).toBeGreaterThan(6);
    expect(between).toBeLessThan(before);
    expect(between).toBeGreaterThan(1);
    expect(paths).toHaveLength(1);
    const bytes = await readFile(present(paths[0], 'segment'));
    for (const entry of entries) expect(bytes.includes(Buffer.from(entry.payload))).toBe(false);
    const contents = await opened(options);
    expect([contents.snapshot.index, contents.entries.length]).toEqual([60, 0]);
  });

  it('stay while a cut in a newer one needs them', async () => {
    const options = fresh();
    const wal = await DiskWal.create(options, EMPTY);
    const entries = run(ZERO_END, 10, 1, 100);
    await wal.append(batchOf(entries, { commit: 4 }));
    await wal.roll();
    const rewritten = run(present(entries[4], 'entry'), 5, 2, 100);
    await wal.append(batchOf(rewritten, { commit: 10 }));
    const base = metadataAt(present(rewritten.at(-1), 'entry'));
    await wal.release(base);
    expect(await segmentPaths(options)).toHaveLength(2);
    await wal.close();
    const { wal: again, contents } = await DiskWal.open(options);
    expect(plain(contents)).toEqual(
      plain({ hardState: { term: 2, vote: null, commit: 10 }, snapshot: base, entries: [] }),
    );
    await again.roll();
    expect(await segmentPaths(options)).toHaveLength(1);
    await again.close();
    expect((await opened(options)).snapshot.index).toBe(10);
  });

  it('before an installed snapshot are removed, and a log without them opens', async () => {
    const options = fresh();
    const wal = await DiskWal.create(options, EMPTY);
    for (const entry of run(ZERO_END, 20, 1, 900)) await wal.append(batchOf([entry]));
    const snapshot = metadataAt({ index: 500, term: 30, hash: Buffer.alloc(32, 5) });
    const tail = run(snapshot, 2, 31);
    await wal.append({ hardState: { term: 31, vote: null, commit: 500 }, snapshot, entries: tail });
    await wal.close();
    expect(await segmentPaths(options)).toHaveLength(1);
    const contents = await opened(options);
    expect([contents.snapshot.index, contents.entries.length]).toEqual([500, 2]);
  });
});
