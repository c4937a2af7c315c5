import { describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { DiskWal } from '../../../src/replication/wal/diskWal.ts';
import type { SegmentFile } from '../../../src/replication/wal/segmentFiles.ts';
import {
  batchOf,
  EMPTY,
  metadataAt,
  NODE_A,
  NODE_B,
  plain,
  run,
  ZERO_END,
} from '../../suites/writeAheadLogModel.ts';
import {
  inMemory,
  onlySegment,
  opened,
  recordOffsets,
  SEGMENT_BYTES,
  unnamedLog,
  watermarkPath,
} from './logOnDisk.ts';
import { MemoryFiles } from './memoryFiles.ts';

/**
 * A system that answers reads from its memory: what a failed write gave it can be read until the power goes, but is not
 * on the disk.
 */
class CachingFiles extends MemoryFiles {
  /** Fails the next write to a file whose path ends so. */
  failing: string | null = null;
  /** By path, what lies on the disk where the memory has something else. */
  readonly #below = new Map<string, Buffer>();

  override async open(path: string, how: 'create' | 'existing'): Promise<SegmentFile> {
    const file = await super.open(path, how);
    const writeDurably: SegmentFile['writeDurably'] = async (bytes, position) => {
      if (this.failing !== null && path.endsWith(this.failing)) {
        this.failing = null;
        this.#below.set(path, await this.read(path));
        await file.writeDurably(bytes, position);
        throw new Error('EIO: i/o error');
      }
      await file.writeDurably(bytes, position);
      this.#below.get(path)?.set(bytes, position);
    };
    return { ...file, writeDurably };
  }

  override rename(names: { from: string; to: string }): Promise<void> {
    this.#below.delete(names.to);
    return super.rename(names);
  }

  losePower(): void {
    for (const [path, bytes] of this.#below) this.put(path, bytes);
    this.#below.clear();
  }
}

/** A log of two entries, and files that are about to fail. */
async function caching() {
  const options = { ...inMemory(), files: new CachingFiles() };
  const made = await DiskWal.create(options, { ...EMPTY, hardState: { term: 1, vote: NODE_A, commit: 0 } });
  const entries = run(ZERO_END, 3);
  await made.append(batchOf(entries.slice(0, 2), { vote: NODE_A }));
  await made.close();
  const { wal } = await DiskWal.open(options);
  return { options, wal, third: present(entries[2], 'entry 3') };
}

describe('what a failed write left in memory', () => {
  it('is on the disk once the log is open again', async () => {
    const { options, wal, third } = await caching();
    options.files.failing = '.wal';
    await expect(wal.append(batchOf([third], { vote: NODE_A }))).rejects.toMatchObject({
      code: 'DISK_FAILED',
    });
    await wal.close();
    expect((await opened(options)).entries).toHaveLength(3);
    options.files.losePower();
    const { entries, suspicion } = await opened(options);
    expect([entries.length, suspicion]).toEqual([3, null]);
  });

  it('is on the disk once the log is open again, without a watermark too', async () => {
    const { options, wal, third } = await caching();
    options.files.failing = '.wal';
    await expect(wal.append(batchOf([third], { vote: NODE_A }))).rejects.toThrow();
    await wal.close();
    await options.files.remove(watermarkPath(options));
    await opened(options);
    options.files.losePower();
    const { entries, suspicion } = await opened(options);
    expect([entries.length, suspicion]).toEqual([3, null]);
  });

  it('is named by a watermark that is on the disk, whatever could be read of that', async () => {
    const { options, wal } = await caching();
    options.files.failing = 'watermark';
    await expect(wal.append(batchOf([], { term: 5, vote: NODE_B }))).rejects.toMatchObject({
      code: 'DISK_FAILED',
    });
    await wal.close();
    expect((await opened(options)).hardState).toMatchObject({ term: 5, vote: NODE_B });
    options.files.losePower();
    const { path, whole } = await onlySegment(options);
    options.files.put(path, whole.subarray(0, recordOffsets(whole)[2]));
    expect((await opened(options)).hardState).toMatchObject({ term: 5, vote: NODE_B });
  });
});

/** Where the power goes in a write, half of it is there, and behind that nothing that anybody wrote. */
class TearingFiles extends MemoryFiles {
  operations = 0;
  stopsAt = Number.POSITIVE_INFINITY;

  #stops(): boolean {
    this.operations += 1;
    return this.operations >= this.stopsAt;
  }

  override async open(path: string, how: 'create' | 'existing'): Promise<SegmentFile> {
    const file = await super.open(path, how);
    const writeDurably: SegmentFile['writeDurably'] = async (bytes, position) => {
      if (!this.#stops()) return file.writeDurably(bytes, position);
      if (this.operations === this.stopsAt) {
        const torn = Buffer.alloc(bytes.length, 0xa5);
        torn.set(bytes.subarray(0, bytes.length / 2));
        await file.writeDurably(torn, position);
      }
      throw new Error('EIO: i/o error');
    };
    return { ...file, writeDurably };
  }

  override rename(names: { from: string; to: string }): Promise<void> {
    return this.#stops() ? Promise.reject(new Error('EIO: i/o error')) : super.rename(names);
  }
}

describe('a loss of power while the end of a log is written again', () => {
  it('takes away nothing that was acknowledged, though no watermark names it', async () => {
    const log = await unnamedLog({ batches: 4 });
    const files = new TearingFiles();
    const options = { ...log.options, files };
    const before = log.options.files.copy();
    let stopped = true;
    for (let stopsAt = 1; stopped; stopsAt += 1) {
      files.restore(before);
      [files.operations, files.stopsAt] = [0, stopsAt];
      stopped = await opened(options).then(
        () => false,
        () => true,
      );
      files.stopsAt = Number.POSITIVE_INFINITY;
      const contents = await opened(options);
      expect([plain(contents), contents.suspicion]).toEqual([log.after[4], null]);
      expect(await files.list(options.directory)).toEqual(['0000000000000001.wal', 'watermark']);
    }
    expect(files.operations).toBeGreaterThan(3);
  });

  it('is not risked when the watermark names the end', async () => {
    const files = new TearingFiles();
    const options = { ...inMemory(), files };
    const wal = await DiskWal.create(options, EMPTY);
    const entries = run(ZERO_END, 4);
    await wal.append(batchOf(entries, { commit: 4 }));
    await wal.release(metadataAt(present(entries[1], 'entry 2')));
    await wal.close();
    const { path, whole } = await onlySegment(options);
    files.operations = 0;
    await opened(options);
    // The watermark alone.
    expect(files.operations).toBe(1);
    expect(await files.read(path)).toEqual(whole);
    expect(whole).toHaveLength(SEGMENT_BYTES);
  });
});
