import { describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import { MemoryWal, MemoryWalDisk, type MemoryWrite } from '../../../src/replication/wal/memoryWal.ts';
import { writeAheadLogSuite } from '../../suites/writeAheadLog.ts';
import { batchOf, EMPTY, run, ZERO_END } from '../../suites/writeAheadLogModel.ts';

describe('MemoryWal', () => {
  writeAheadLogSuite({
    place() {
      const disk = new MemoryWalDisk();
      return Promise.resolve({
        create: async (contents) => MemoryWal.create(disk, contents),
        open: async () => MemoryWal.open(disk),
      });
    },
  });

  it('writes one group at a time, and merges what waits', async () => {
    const writes: MemoryWrite[] = [];
    const clock = new ManualClock();
    const wal = MemoryWal.create(new MemoryWalDisk(), EMPTY, {
      clock,
      onWrite: (write) => writes.push(write),
    });
    const appended = run(ZERO_END, 3).map((entry) => wal.append(batchOf([entry])));
    expect(writes.map(({ batches }) => batches.length)).toEqual([1]);
    clock.advance(70);
    expect(wal.pendingWriteMs()).toBe(70);
    present(writes[0], 'first write').complete();
    await appended[0];
    expect(writes.map(({ batches }) => batches.length)).toEqual([1, 2]);
    present(writes[1], 'second write').complete();
    await Promise.all(appended);
    expect(wal.pendingWriteMs()).toBe(0);
    await wal.close();
  });

  it('forgets at a crash what was not completed', async () => {
    const writes: MemoryWrite[] = [];
    const disk = new MemoryWalDisk();
    const wal = MemoryWal.create(disk, EMPTY, { onWrite: (write) => writes.push(write) });
    const entries = run(ZERO_END, 2);
    const [first, second] = entries.map((entry) => wal.append(batchOf([entry])));
    writes[0]?.complete();
    await first;
    disk.crash();
    writes[1]?.complete();
    let acknowledged = false;
    void second?.then(() => {
      acknowledged = true;
    });
    const { wal: again, contents } = MemoryWal.open(disk);
    expect(contents.entries.map(({ index }) => index)).toEqual([1]);
    await again.append(batchOf(entries.slice(1)));
    expect(acknowledged).toBe(false);
    expect(again.durableContents().entries).toHaveLength(2);
    await again.close();
  });

  it('fails for good at the first failed write', async () => {
    const writes: MemoryWrite[] = [];
    const wal = MemoryWal.create(new MemoryWalDisk(), EMPTY, { onWrite: (write) => writes.push(write) });
    const appended = run(ZERO_END, 3).map((entry) => wal.append(batchOf([entry])));
    writes[0]?.fail(new Error('EIO'));
    const outcomes = await Promise.allSettled(appended);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    await expect(wal.append(batchOf([]))).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect(writes).toHaveLength(1);
    await wal.close();
  });
});
