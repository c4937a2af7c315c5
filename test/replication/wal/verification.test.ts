import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { type Scheduler, systemScheduler } from '../../../src/base/scheduler.ts';
import { DiskWal, type DiskWalOptions } from '../../../src/replication/wal/diskWal.ts';
import { batchOf, EMPTY, metadataAt, run, ZERO_END } from '../../suites/writeAheadLogModel.ts';
import { waitFor } from '../transport/waitFor.ts';
import { inMemory, recordOffsets, SEGMENT_BYTES, STORE, segmentPaths, writtenLog } from './logOnDisk.ts';

const always = (): Promise<boolean> => Promise.resolve(true);
const SIZE = { batches: 60, payloadBytes: 100 };

let wal: DiskWal;

afterEach(() => wal.close());

/** A log of several segments, open. */
async function several<Options extends DiskWalOptions>(options: Options) {
  const { lastIndex } = await writtenLog(options, SIZE);
  ({ wal } = await DiskWal.open(options));
  const paths = await segmentPaths(options);
  expect(paths.length).toBeGreaterThan(4);
  return { options, paths, lastIndex };
}

function flipped(bytes: Buffer, offset: number): Buffer {
  const damaged = Buffer.from(bytes);
  damaged.writeUInt8(damaged.readUInt8(offset) ^ 0x04, offset);
  return damaged;
}

describe('a log in use that is read again', () => {
  it('is sound from its first byte to the last durable one, which is where it is being written', async () => {
    const { options, paths } = await several(inMemory());
    const newest = await options.files.read(present(paths.at(-1), 'the newest'));
    const end = present(recordOffsets(newest).at(-1), 'its end');
    const sealed = (paths.length - 1) * SEGMENT_BYTES;
    expect(await wal.verify(always)).toEqual({ segments: paths.length, bytes: sealed + end, damage: null });
    options.files.put(present(paths.at(-1), 'the newest'), flipped(newest, end));
    expect((await wal.verify(always)).damage).toBeNull();
  });

  it('shows a bit that flipped in any record, with its place', async () => {
    const { options, paths } = await several(inMemory());
    for (const [at, path] of paths.entries()) {
      const whole = await options.files.read(path);
      const end = present(recordOffsets(whole).at(-1), 'its end');
      for (const offset of [3, 60, Math.floor(end / 2), end - 1]) {
        options.files.put(path, flipped(whole, offset));
        const { damage, segments } = await wal.verify(always);
        expect(damage).toContain(path);
        expect(segments).toBe(at + 1);
      }
      options.files.put(path, whole);
    }
  });

  it('shows a segment of another log, sound by itself', async () => {
    const { options, paths } = await several(inMemory());
    const other = await writtenLog(inMemory(), { ...SIZE, payloadBytes: 101 });
    const [, second = ''] = paths;
    options.files.put(second, await other.options.files.read(second));
    expect((await wal.verify(always)).damage).toContain('does not go on');
  });

  it('shows a segment that is gone, which nobody removed', async () => {
    const { options, paths } = await several(inMemory());
    await options.files.remove(present(paths[1], 'a segment'));
    expect((await wal.verify(always)).damage).toBe(`${paths[1]}: the segment is missing`);
  });

  it('goes on meanwhile: what is written is left for the next time', async () => {
    const { options, lastIndex } = await several(inMemory());
    const before = await wal.verify(always);
    const after = await wal.verify(async () => {
      const last = present(run(ZERO_END, wal.lastIndex(), 1, 100).at(-1), 'the last entry');
      if (wal.lastIndex() === lastIndex)
        await wal.append(batchOf(run(last, 12, 2, 900), { term: 2, commit: lastIndex }));
      return true;
    });
    expect(after).toMatchObject({ ...before, damage: null });
    expect((await segmentPaths(options)).length).toBeGreaterThan(before.segments);
  });

  it('ends where the pace says so', async () => {
    await several(inMemory());
    expect(await wal.verify(() => Promise.resolve(false))).toEqual({ segments: 0, bytes: 0, damage: null });
  });

  it('is read from real files', async () => {
    const directory = join(await mkdtemp(join(tmpdir(), 'holdfast-verified-')), 'wal');
    const { paths } = await several({ directory, storeId: STORE, segmentBytes: SEGMENT_BYTES });
    const newest = present(paths.at(-1), 'the newest');
    expect((await wal.verify(always)).damage).toBeNull();
    await writeFile(newest, flipped(await readFile(newest), 400));
    expect((await wal.verify(always)).damage).toContain(newest);
    await rm(dirname(directory), { recursive: true });
  });
});

it('segments that are removed meanwhile are no damage, though one is left that cannot begin a log', async () => {
  const options = inMemory();
  wal = await DiskWal.create(options, EMPTY);
  const first = run(ZERO_END, 6, 1, 900);
  for (const entry of first) await wal.append(batchOf([entry], { commit: Math.min(entry.index, 2) }));
  const second = run(present(first[1], 'entry 2'), 11, 2, 900);
  for (const entry of second) await wal.append(batchOf([entry], { term: 2, commit: 2 }));
  await wal.append(batchOf([], { term: 2, commit: 13 }));
  const before = (await segmentPaths(options)).length;
  let goOn = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  let removed = 0;
  const remove = options.files.remove.bind(options.files);
  options.files.remove = async (path) => {
    removed += 1;
    if (removed === 2) await held;
    await remove(path);
  };
  let released = Promise.resolve();
  const verified = await wal.verify(async () => {
    if (removed === 0) released = wal.release(metadataAt(present(second.at(-2), 'entry 12')));
    await waitFor(() => removed === 2);
    return true;
  });
  goOn();
  await released;
  expect(verified.damage).toBeNull();
  expect(verified.segments).toBe(before - removed + 1);
  expect((await segmentPaths(options)).length).toBe(before - removed);
});

describe('one turn of the event loop', () => {
  let turns = 0;
  const scheduler: Scheduler = {
    ...systemScheduler,
    afterPoll: (then) => {
      turns += 1;
      systemScheduler.afterPoll(then);
    },
  };

  it.each([
    ['large entries', { entries: 64, payloadBytes: 64 * 1024 }],
    ['one record of many entries', { entries: 20_000, payloadBytes: 20 }],
  ])('verifies a part only: %s', async (_name, { entries, payloadBytes }) => {
    const options = { ...inMemory(), scheduler };
    wal = await DiskWal.create(options, EMPTY);
    await wal.append(batchOf(run(ZERO_END, entries, 1, payloadBytes)));
    await wal.close();
    ({ wal } = await DiskWal.open(options));
    turns = 0;
    const { damage, bytes } = await wal.verify(always);
    expect(damage).toBeNull();
    expect(turns).toBeGreaterThan(bytes / LIMITS.walVerifyTurnBytes - 2);
    expect(turns).toBeGreaterThan(4);
  });

  it('is over too after many records that hold no entry', async () => {
    wal = await DiskWal.create({ ...inMemory({ segmentBytes: 1024 * 1024 }), scheduler }, EMPTY);
    for (let term = 1; term < 3_000; term += 1) await wal.append(batchOf([], { term }));
    turns = 0;
    expect((await wal.verify(always)).damage).toBeNull();
    expect(turns).toBeGreaterThan(1);
  });
});
