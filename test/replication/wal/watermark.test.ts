import { describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import { polled, systemScheduler } from '../../../src/base/scheduler.ts';
import { DiskWal } from '../../../src/replication/wal/diskWal.ts';
import type { SegmentFile } from '../../../src/replication/wal/segmentFiles.ts';
import { readSlot, type Watermark } from '../../../src/replication/wal/watermark.ts';
import { batchOf, EMPTY, NODE_A, run, ZERO_END } from '../../suites/writeAheadLogModel.ts';
import { inMemory, keptAside, recordOffsets, segmentPaths, writtenLog } from './logOnDisk.ts';
import { MemoryFiles } from './memoryFiles.ts';

/** Files whose writes to the watermark, or to segments, can be held up or made to fail. */
class GatedFiles extends MemoryFiles {
  readonly written: { what: 'watermark' | 'segment'; bytes: Buffer }[] = [];
  gate: (what: 'watermark' | 'segment') => Promise<void> = () => Promise.resolve();

  override async open(path: string, how: 'create' | 'existing'): Promise<SegmentFile> {
    const what = path.endsWith('watermark') ? 'watermark' : 'segment';
    const file = await super.open(path, how);
    return {
      ...file,
      writeDurably: async (bytes, position) => {
        const copy = Buffer.from(bytes);
        await this.gate(what);
        await file.writeDurably(copy, position);
        this.written.push({ what, bytes: copy });
      },
    };
  }
}

function gated() {
  const files = new GatedFiles();
  return { ...inMemory(), files };
}

/** A log of term 1, opened, with nothing under way. */
async function openedLog() {
  const options = gated();
  const wal = await DiskWal.create(options, { ...EMPTY, hardState: { term: 1, vote: NODE_A, commit: 0 } });
  await wal.close();
  const clock = new ManualClock();
  const { wal: again } = await DiskWal.open({ ...options, clock });
  // That of the start is long over.
  options.files.written.length = 0;
  clock.advance(1_000);
  return { options, clock, wal: again };
}

const entry = (index: number) => batchOf([present(run(ZERO_END, index).at(-1), 'entry')], { vote: NODE_A });

function named({ files }: { files: GatedFiles }): Watermark[] {
  return files.written
    .filter(({ what }) => what === 'watermark')
    .map(({ bytes }) => {
      const reading = readSlot(bytes);
      if (reading.kind !== 'sound') throw new Error('not a watermark');
      return reading.slot.watermark;
    });
}

/** What a promise has come to, as far as it can come with nothing else happening. */
async function outcome(promise: Promise<void>): Promise<'done' | 'failed' | 'waiting'> {
  let found: 'done' | 'failed' | 'waiting' = 'waiting';
  promise.then(
    () => {
      found = 'done';
    },
    () => {
      found = 'failed';
    },
  );
  for (let turn = 0; turn < 5; turn += 1) await polled(systemScheduler);
  return found;
}

describe('the writes of the watermark', () => {
  it('hold up no acknowledgement of entries, however long they take', async () => {
    const { options, wal, clock } = await openedLog();
    options.files.gate = (what) => (what === 'watermark' ? new Promise(() => undefined) : Promise.resolve());
    expect(await outcome(wal.append(entry(1)))).toBe('done');
    expect(await outcome(wal.append(entry(2)))).toBe('done');
    clock.advance(1_200);
    expect(wal.pendingWriteMs()).toBe(1_200);
  });

  it('come before a term or a vote counts as durable', async () => {
    const { options, wal } = await openedLog();
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    options.files.gate = (what) => (what === 'watermark' ? opened : Promise.resolve());
    const vote = wal.append(batchOf([], { term: 2, vote: NODE_A }));
    expect(await outcome(vote)).toBe('waiting');
    open();
    expect(await outcome(vote)).toBe('done');
    expect(named(options).at(-1)?.hardState).toMatchObject({ term: 2, vote: NODE_A });
    await wal.close();
  });

  it('name nothing whose own write has not returned', async () => {
    const { options, wal } = await openedLog();
    let open = (): void => undefined;
    await wal.append(entry(1));
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    options.files.gate = (what) => (what === 'segment' ? opened : Promise.resolve());
    const second = wal.append(entry(2));
    expect(await outcome(second)).toBe('waiting');
    expect(named(options).map(({ last }) => last.index)).toEqual([1]);
    open();
    await second;
    await wal.close();
    expect(named(options).map(({ last }) => last.index)).toEqual([1, 2]);
  });

  it('follow when the log has nothing more to write', async () => {
    const { options, wal } = await openedLog();
    await wal.append(entry(1));
    for (let turn = 0; turn < 3; turn += 1) await polled(systemScheduler);
    expect(named(options).map(({ record, last }) => [record, last.index])).toEqual([[1, 1]]);
    await wal.close();
  });

  it('name what has become durable while one was on its way', async () => {
    const { options, wal } = await openedLog();
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    options.files.gate = (what) => (what === 'watermark' ? held : Promise.resolve());
    expect(await outcome(wal.append(entry(1)))).toBe('done');
    expect(await outcome(wal.append(entry(2)))).toBe('done');
    release();
    for (let turn = 0; turn < 5; turn += 1) await polled(systemScheduler);
    expect(named(options).map(({ last }) => last.index)).toEqual([1, 2]);
    await wal.close();
  });

  it('are spared while the log is busy, but for one a millisecond', async () => {
    const { options, wal, clock } = await openedLog();
    let last = 0;
    const busy = async (batches: number): Promise<number[]> => {
      for (const end = last + batches; last < end; ) {
        const first = wal.append(entry(last + 1));
        const second = wal.append(entry(last + 2));
        last += 2;
        await first;
        await polled(systemScheduler);
        await second;
      }
      return named(options).map(({ last: { index } }) => index);
    };
    const gate = options.files.gate;
    options.files.gate = (what) =>
      what === 'segment' ? polled(systemScheduler).then(() => gate(what)) : gate(what);
    const before = (await busy(8)).length;
    expect(before).toBeLessThanOrEqual(2);
    clock.advance(1);
    expect((await busy(2)).length).toBeGreaterThan(before);
    for (let turn = 0; turn < 5; turn += 1) await polled(systemScheduler);
    expect(named(options).at(-1)?.last.index).toBe(10);
    await wal.close();
  });

  it('that fail leave what is on its way to the log unacknowledged', async () => {
    const { options, wal } = await openedLog();
    await wal.append(entry(1));
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    options.files.gate = (what) =>
      what === 'watermark' ? Promise.reject(new Error('EIO: i/o error')) : opened;
    const second = wal.append(entry(2));
    expect(await outcome(second)).toBe('waiting');
    open();
    expect(await outcome(second)).toBe('failed');
    await wal.close();
  });

  it('that fail end the log, though nobody waits for them', async () => {
    const { options, wal } = await openedLog();
    options.files.gate = (what) =>
      what === 'watermark' ? Promise.reject(new Error('EIO: i/o error')) : Promise.resolve();
    await wal.append(entry(1));
    expect(wal.failure()).toBeNull();
    for (let turn = 0; turn < 3; turn += 1) await polled(systemScheduler);
    expect(wal.failure()).toMatchObject({ code: 'DISK_FAILED' });
    await expect(wal.append(entry(2))).rejects.toBe(wal.failure());
    await wal.close();
  });
});

/** Fails every operation from a certain one on, as if the machine had stopped there. */
class StoppingFiles extends MemoryFiles {
  operations = 0;
  stopsAt = Number.POSITIVE_INFINITY;

  #count(): void {
    this.operations += 1;
    if (this.operations >= this.stopsAt) throw new Error('EIO: i/o error');
  }

  override async open(path: string, how: 'create' | 'existing'): Promise<SegmentFile> {
    this.#count();
    const file = await super.open(path, how);
    return {
      ...file,
      writeDurably: async (bytes, position) => {
        this.#count();
        await file.writeDurably(bytes, position);
      },
    };
  }

  override async rename(names: { from: string; to: string }): Promise<void> {
    this.#count();
    await super.rename(names);
  }

  override async remove(path: string): Promise<void> {
    this.#count();
    await super.remove(path);
  }
}

describe('a stop at any step while a damaged log is opened', () => {
  type Damage = (log: {
    files: StoppingFiles;
    paths: string[];
    first: Buffer;
    offsets: number[];
  }) => Promise<void>;
  const cases: readonly [string, Damage][] = [
    [
      'a flipped bit',
      async ({ files, paths, first, offsets }) => {
        const at = (offsets[2] ?? 0) + 30;
        first[at] = (first[at] ?? 0) ^ 1;
        files.put(present(paths[0], 'segment'), first);
        await Promise.resolve();
      },
    ],
    [
      'a damaged beginning',
      async ({ files, paths, first }) => {
        first[20] = (first[20] ?? 0) ^ 1;
        files.put(present(paths[0], 'segment'), first);
        await Promise.resolve();
      },
    ],
    ['a segment gone', async ({ files, paths }) => files.remove(present(paths[1], 'segment'))],
    ['the newest segment gone', async ({ files, paths }) => files.remove(present(paths.at(-1), 'segment'))],
  ];

  it.each(cases)('leaves the same sound part, still suspect: %s', async (_name, damage) => {
    const files = new StoppingFiles();
    const options = { ...inMemory(), files };
    const log = await writtenLog(options, { batches: 10, payloadBytes: 400 });
    const paths = await segmentPaths(options);
    const first = await files.read(present(paths[0], 'segment'));
    await damage({ files, paths, first, offsets: recordOffsets(first) });
    const damaged = files.copy();
    const whole = await DiskWal.open(options);
    await whole.wal.close();
    const kept = (await keptAside(options)).length;
    for (let stopsAt = 1; ; stopsAt += 1) {
      files.restore(damaged);
      files.operations = 0;
      files.stopsAt = stopsAt;
      const stopped = await DiskWal.open(options).then(
        () => false,
        () => true,
      );
      files.stopsAt = Number.POSITIVE_INFINITY;
      const { wal, contents } = await DiskWal.open(options);
      await wal.close();
      expect(contents.suspicion?.until.index).toBe(log.lastIndex);
      expect(contents.entries).toEqual(whole.contents.entries);
      expect(contents.hardState).toEqual(whole.contents.hardState);
      expect((await keptAside(options)).length).toBeGreaterThanOrEqual(kept);
      if (!stopped) break;
    }
  });
});
