import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import type { StoreId } from '../../../src/base/ids.ts';
import { DiskWal, type DiskWalOptions } from '../../../src/replication/wal/diskWal.ts';
import {
  realSegmentFiles,
  type SegmentFile,
  type SegmentFiles,
} from '../../../src/replication/wal/segmentFiles.ts';
import {
  batchOf,
  EMPTY,
  ModelLog,
  metadataAt,
  plain,
  run,
  ZERO_END,
} from '../../suites/writeAheadLogModel.ts';

const STORE = '0123456789abcdef' as StoreId;
/** Opening a sound log syncs its folder, opens its watermark and its last segment, and writes the watermark. */
const OPERATIONS_TO_OPEN = 4;
let root = '';
let directories = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'holdfast-wal-failure-'));
});

afterAll(() => rm(root, { recursive: true, force: true }));

/** The real file system, where the operation that `failsAt` counts down to fails, with nothing or half of it done. */
class FailingFiles {
  operations = 0;
  readonly #failsAt: number;
  readonly #half: boolean;

  constructor(failsAt: number, half: boolean) {
    this.#failsAt = failsAt;
    this.#half = half;
  }

  readonly files: SegmentFiles = {
    ...realSegmentFiles,
    open: async (path, how) => {
      await this.#count();
      return this.#wrap(await realSegmentFiles.open(path, how));
    },
    rename: async (names) => {
      await this.#count();
      await realSegmentFiles.rename(names);
    },
    remove: async (path) => {
      await this.#count();
      await realSegmentFiles.remove(path);
    },
    syncDirectory: async (path) => {
      await this.#count();
      await realSegmentFiles.syncDirectory(path);
    },
  };

  #wrap(file: SegmentFile): SegmentFile {
    return {
      writeDurably: async (bytes, position) => {
        await this.#count(() => file.writeDurably(bytes.subarray(0, bytes.length / 2), position));
        await file.writeDurably(bytes, position);
      },
      sync: async () => {
        await this.#count();
        await file.sync();
      },
      close: () => file.close(),
    };
  }

  async #count(halfDone: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    this.operations += 1;
    if (this.operations < this.#failsAt) return;
    if (this.operations === this.#failsAt && this.#half) await halfDone();
    throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
  }
}

function fresh(): DiskWalOptions {
  directories += 1;
  return { directory: join(root, `wal-${directories}`), storeId: STORE, segmentBytes: 4096 };
}

/** Writes until the disk fails. `acknowledged` counts what resolved; `states` is the model after each step. */
async function writeUntilFailure(
  options: DiskWalOptions,
): Promise<{ acknowledged: number; states: unknown[] }> {
  const model = new ModelLog(EMPTY);
  const states = [plain(model.contents)];
  let acknowledged = 0;
  const { wal } = await DiskWal.open(options);
  try {
    for (let i = 0; i < 24; i += 1) {
      const previous = model.contents.entries.at(-2) ?? model.last;
      const batch = batchOf(run(previous, 3, i + 1, 150), { commit: previous.index });
      model.append(batch);
      states.push(plain(model.contents));
      await wal.append(batch);
      acknowledged += 1;
      if (i % 8 !== 7) continue;
      const base = metadataAt(
        present(
          model.contents.entries.find(({ index }) => index === previous.index - 3),
          'base',
        ),
      );
      model.release(base);
      states.push(plain(model.contents));
      await wal.release(base);
      acknowledged += 1;
    }
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: 'DISK_FAILED' });
    await expect(wal.append(batchOf([], { term: 99 }))).rejects.toBe(thrown);
    await expect(wal.roll()).rejects.toBe(thrown);
  }
  await wal.close();
  return { acknowledged, states };
}

describe('a disk that fails', () => {
  it.each([false, true])(
    'at any operation loses nothing that was acknowledged and invents nothing (half done: %s)',
    async (half) => {
      let failed = true;
      for (let failsAt = 1; failed; failsAt += 1) {
        const options = fresh();
        await (await DiskWal.create(options, EMPTY)).close();
        const disk = new FailingFiles(failsAt + OPERATIONS_TO_OPEN, half);
        const { acknowledged, states } = await writeUntilFailure({ ...options, files: disk.files });
        const { wal, contents } = await DiskWal.open(options);
        await wal.close();
        const found = JSON.stringify(plain(contents));
        const possible = states.slice(acknowledged, acknowledged + 2).map((state) => JSON.stringify(state));
        expect(possible).toContain(found);
        failed = disk.operations >= failsAt + OPERATIONS_TO_OPEN;
        expect(failsAt).toBeLessThan(400);
      }
    },
  );

  it('between two removals leaves a log without a hole', async () => {
    const options = fresh();
    await (await DiskWal.create(options, EMPTY)).close();
    let removals = 0;
    const remove: SegmentFiles['remove'] = async (path) => {
      removals += 1;
      if (removals === 3) throw new Error('EIO: i/o error');
      await realSegmentFiles.remove(path);
    };
    const { wal } = await DiskWal.open({ ...options, files: { ...realSegmentFiles, remove } });
    const entries = run(ZERO_END, 40, 1, 900);
    for (const entry of entries) await wal.append(batchOf([entry], { commit: entry.index }));
    const base = metadataAt(present(entries[35], 'entry 36'));
    await expect(wal.release(base)).rejects.toMatchObject({ code: 'DISK_FAILED' });
    await wal.close();
    const { wal: again, contents } = await DiskWal.open(options);
    expect(again.firstIndex()).toBe(37);
    expect(contents.entries).toHaveLength(4);
    await again.close();
  });

  it('that hangs is seen by how long the write in flight has waited', async () => {
    const options = fresh();
    await (await DiskWal.create(options, EMPTY)).close();
    let goOn = (): void => undefined;
    let hung = Promise.resolve();
    const open: SegmentFiles['open'] = async (path, how) => {
      const file = await realSegmentFiles.open(path, how);
      return {
        writeDurably: (bytes, position) => hung.then(() => file.writeDurably(bytes, position)),
        sync: () => file.sync(),
        close: () => file.close(),
      };
    };
    const clock = new ManualClock();
    const { wal } = await DiskWal.open({ ...options, clock, files: { ...realSegmentFiles, open } });
    hung = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const appended = wal.append(batchOf(run(ZERO_END, 1)));
    clock.advance(1_500);
    expect(wal.pendingWriteMs()).toBe(1_500);
    goOn();
    await appended;
    expect(wal.pendingWriteMs()).toBe(0);
    await wal.close();
  });

  it('rejects everything that waits, with one and the same error', async () => {
    const options = fresh();
    await (await DiskWal.create(options, EMPTY)).close();
    const failing = new FailingFiles(OPERATIONS_TO_OPEN + 1, false);
    const { wal } = await DiskWal.open({ ...options, files: failing.files });
    const outcomes = await Promise.allSettled(run(ZERO_END, 5).map((entry) => wal.append(batchOf([entry]))));
    const reasons = outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason : null));
    expect(reasons[0]).toMatchObject({ code: 'DISK_FAILED' });
    expect(new Set(reasons).size).toBe(1);
    const { operations } = failing;
    await expect(wal.roll()).rejects.toBe(reasons[0]);
    expect(failing.operations).toBe(operations);
    await wal.close();
  });

  it('while a log is made leaves none behind that opens', async () => {
    let failed = true;
    for (let failsAt = 1; failed; failsAt += 1) {
      const options = fresh();
      const disk = new FailingFiles(failsAt, true);
      const contents = { ...EMPTY, hardState: { term: 1, vote: null, commit: 2 }, entries: run(ZERO_END, 2) };
      const made = DiskWal.create({ ...options, files: disk.files }, contents);
      failed = await made.then(
        async (wal) => {
          await wal.close();
          return false;
        },
        () => true,
      );
      const names = await readdir(options.directory);
      if (!names.some((name) => name.endsWith('.wal'))) continue;
      const { wal, contents: found } = await DiskWal.open(options);
      await wal.close();
      expect(plain(found)).toEqual(plain(contents));
    }
  });
});
