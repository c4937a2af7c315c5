import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { HoldfastError } from '../../../src/base/errors.ts';
import type { StoreId } from '../../../src/base/ids.ts';
import { DiskWal, type DiskWalOptions } from '../../../src/replication/wal/diskWal.ts';
import type { WalContents } from '../../../src/replication/wal/types.ts';
import { writeAheadLogSuite } from '../../suites/writeAheadLog.ts';
import {
  batchOf,
  EMPTY,
  ModelLog,
  metadataAt,
  NODE_A,
  plain,
  run,
  ZERO_END,
} from '../../suites/writeAheadLogModel.ts';

const STORE = '0123456789abcdef' as StoreId;
const SEGMENT_BYTES = 4096;
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

async function segmentPaths({ directory }: DiskWalOptions): Promise<string[]> {
  const names = await readdir(directory);
  return names
    .filter((name) => name.endsWith('.wal'))
    .toSorted()
    .map((name) => join(directory, name));
}

/** Offset where each record of a segment begins, then the end of the last one. */
function recordOffsets(segment: Buffer): number[] {
  const offsets = [0];
  for (let offset = 0; offset + 4 <= segment.length; ) {
    const length = segment.readUInt32BE(offset);
    if (length === 0) break;
    offset += 8 + length;
    offsets.push(offset);
  }
  return offsets;
}

async function opened(options: DiskWalOptions): Promise<WalContents> {
  const { wal, contents } = await DiskWal.open(options);
  await wal.close();
  return contents;
}

async function refusal(options: DiskWalOptions): Promise<HoldfastError> {
  try {
    await opened(options);
  } catch (thrown) {
    if (thrown instanceof HoldfastError) return thrown;
    throw thrown;
  }
  throw new Error('the log opened');
}

/** A log of `batches` batches with two entries each, and the contents after every batch. */
async function writtenLog(
  batches: number,
  payloadBytes = 20,
): Promise<{ options: DiskWalOptions; after: unknown[] }> {
  const options = fresh();
  const model = new ModelLog(EMPTY);
  const wal = await DiskWal.create(options, EMPTY);
  const after = [plain(model.contents)];
  for (let i = 0; i < batches; i += 1) {
    const batch = batchOf(run(model.last, 2, 1, payloadBytes), { vote: NODE_A, commit: i });
    model.append(batch);
    await wal.append(batch);
    after.push(plain(model.contents));
  }
  await wal.close();
  return { options, after };
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
    const { options, after } = await writtenLog(3);
    const path = present((await segmentPaths(options))[0], 'segment');
    const whole = await readFile(path);
    const [from = 0, to = 0] = recordOffsets(whole).slice(-2);
    for (let cut = from; cut < to; cut += 1) {
      const damaged = Buffer.from(how === 'truncated' ? whole.subarray(0, cut) : whole);
      if (how !== 'truncated') damaged.fill(how === 'zeroed' ? 0 : 0xee, cut, to);
      await writeFile(path, damaged);
      expect(plain(await opened(options))).toEqual(after[damaged.equals(whole) ? 3 : 2]);
      const healed = await readFile(path);
      expect(healed).toHaveLength(SEGMENT_BYTES);
      if (!damaged.equals(whole)) expect(healed.subarray(from).every((byte) => byte === 0)).toBe(true);
    }
  });

  it('is cut whichever of its bits is flipped', async () => {
    const { options, after } = await writtenLog(3);
    const path = present((await segmentPaths(options))[0], 'segment');
    const whole = await readFile(path);
    const [from = 0, to = 0] = recordOffsets(whole).slice(-2);
    for (let offset = from; offset < to; offset += 1) {
      const damaged = Buffer.from(whole);
      damaged[offset] = (damaged[offset] ?? 0) ^ (1 << (offset % 8));
      await writeFile(path, damaged);
      expect(plain(await opened(options))).toEqual(after[2]);
    }
  });

  it('leaves a log that can be written on', async () => {
    const { options, after } = await writtenLog(3);
    const path = present((await segmentPaths(options))[0], 'segment');
    const whole = await readFile(path);
    const [from = 0] = recordOffsets(whole).slice(-2);
    await writeFile(path, whole.subarray(0, from + 60));
    const { wal, contents } = await DiskWal.open(options);
    expect(plain(contents)).toEqual(after[2]);
    const next = batchOf(run(present(contents.entries.at(-1), 'entry'), 40, 2, 90), { commit: 1 });
    await wal.append(next);
    await wal.close();
    expect((await opened(options)).entries).toHaveLength(44);
  });
});

describe('damage that no torn write explains', () => {
  it('is refused wherever a bit is flipped before the last record, and nothing is changed', async () => {
    const { options } = await writtenLog(4);
    const path = present((await segmentPaths(options))[0], 'segment');
    const whole = await readFile(path);
    const end = present(recordOffsets(whole).at(-2), 'offset');
    for (let offset = 0; offset < end; offset += 3) {
      const damaged = Buffer.from(whole);
      damaged[offset] = (damaged[offset] ?? 0) ^ (1 << (offset % 8));
      await writeFile(path, damaged);
      const error = await refusal(options);
      expect(error.code).toBe('LOG_CORRUPT');
      expect(error.message).toMatch(/0000000000000001\.wal, offset \d+: /);
      expect(error.hint).toMatch(/nothing was changed/);
      expect(await readFile(path)).toEqual(damaged);
    }
  });

  it('is refused when a sound record follows zeroed bytes', async () => {
    const { options } = await writtenLog(4);
    const path = present((await segmentPaths(options))[0], 'segment');
    const damaged = await readFile(path);
    const offsets = recordOffsets(damaged);
    damaged.fill(0, offsets[2], offsets[3]);
    await writeFile(path, damaged);
    const error = await refusal(options);
    expect(error.message).toContain(`a sound record follows at offset ${offsets[3]}`);
  });

  it('is refused when sound records change places', async () => {
    const { options } = await writtenLog(4);
    const path = present((await segmentPaths(options))[0], 'segment');
    const whole = await readFile(path);
    const [a = 0, b = 0, c = 0, d = 0] = recordOffsets(whole).slice(1);
    const swapped = Buffer.concat([
      whole.subarray(0, a),
      whole.subarray(b, c),
      whole.subarray(a, b),
      whole.subarray(c, d),
      whole.subarray(d),
    ]);
    await writeFile(path, swapped);
    expect((await refusal(options)).message).toContain('out of order');
  });

  it('is refused in every part of an older segment, its end included', async () => {
    const { options } = await writtenLog(12, 400);
    const paths = await segmentPaths(options);
    expect(paths.length).toBeGreaterThan(2);
    const path = present(paths[1], 'segment');
    const whole = await readFile(path);
    const last = present(recordOffsets(whole).at(-2), 'offset');
    for (const damage of [
      whole.subarray(0, last),
      whole.subarray(0, last + 30),
      Buffer.concat([whole.subarray(0, last), Buffer.alloc(SEGMENT_BYTES - last)]),
      Buffer.concat([whole.subarray(0, -1), Buffer.from([1])]),
      Buffer.alloc(SEGMENT_BYTES),
      Buffer.alloc(0),
    ]) {
      await writeFile(path, damage);
      expect(await refusal(options)).toMatchObject({ code: 'LOG_CORRUPT' });
      expect(await readFile(path)).toEqual(damage);
    }
    await writeFile(path, whole);
    await opened(options);
  });

  it.each([0, 1, 2])('is refused when segment %i is gone', async (which) => {
    const { options } = await writtenLog(16, 400);
    const paths = await segmentPaths(options);
    expect(paths.length).toBeGreaterThan(3);
    await rm(present(paths[which], 'segment'));
    const error = await refusal(options);
    expect(error).toMatchObject({ code: 'LOG_CORRUPT' });
    expect(error.message).toMatch(/missing/);
  });

  it("is refused when a segment is exchanged for one of another node's log", async () => {
    const [ours, theirs] = [await writtenLog(12, 400), await writtenLog(12, 401)];
    const from = present((await segmentPaths(theirs.options))[1], 'segment');
    await writeFile(present((await segmentPaths(ours.options))[1], 'segment'), await readFile(from));
    expect((await refusal(ours.options)).message).toContain('does not go on where the one before ended');
  });

  it('finds an entry whose hash was wrong when it was written', async () => {
    const options = fresh();
    const wal = await DiskWal.create(options, EMPTY);
    const [first, second] = run(ZERO_END, 2);
    await wal.append(batchOf([{ ...present(first, 'entry'), payload: Buffer.from('other') }]));
    await wal.append(batchOf([present(second, 'entry')]));
    await wal.close();
    expect((await refusal(options)).message).toContain('I3: the hash of entry 1');
  });
});

describe('opening', () => {
  it('never makes a log where there is none', async () => {
    const options = fresh();
    expect(await refusal(options)).toMatchObject({ code: 'DATA_DIR_INVALID' });
    await (await DiskWal.create(options, EMPTY)).close();
    for (const path of await segmentPaths(options)) await rm(path);
    expect(await refusal(options)).toMatchObject({ code: 'DATA_DIR_INVALID' });
    expect(await readdir(options.directory)).toEqual([]);
  });

  it("refuses another store's log", async () => {
    const { options } = await writtenLog(1);
    const error = await refusal({ ...options, storeId: 'ffffffffffffffff' as StoreId });
    expect(error).toMatchObject({ code: 'DATA_DIR_INVALID' });
    expect(error.message).toContain(STORE);
  });

  it('drops a segment that was still being prepared', async () => {
    const { options, after } = await writtenLog(2);
    const leftover = join(options.directory, 'next.prepared');
    await writeFile(leftover, 'half');
    expect(plain(await opened(options))).toEqual(after[2]);
    expect(await readdir(options.directory)).not.toContain('next.prepared');
  });
});

describe('segments', () => {
  it('have their full size before anything is written to them', async () => {
    const { options } = await writtenLog(12, 400);
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
