import { afterEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { type Scheduler, systemScheduler } from '../../src/base/scheduler.ts';
import { withNewActiveKey } from '../../src/envelope/keyring.ts';
import { type Database, openLevelDatabase } from '../../src/store/database.ts';
import { Store } from '../../src/store/store.ts';
import { command, put, remove, StoreRig, write } from './storeRig.ts';

/** What went to disk, batch by batch, and a way to make it fail or wait. */
class WatchedDisk {
  readonly batches: string[][] = [];
  inFlight = 0;
  mostInFlight = 0;
  failWith: Error | null = null;
  /** While set, a write waits for it, and a look at what is there. */
  hang: Promise<void> | null = null;

  readonly open = async (options: { path: string; create: boolean }): Promise<Database> => {
    const database = await openLevelDatabase(options);
    const has = async (keys: readonly Buffer[]) => {
      if (this.hang !== null) await this.hang;
      return database.has(keys);
    };
    return { ...database, has, batch: () => this.#batch(database) };
  };

  #batch(database: Database) {
    const batch = database.batch();
    const operations: string[] = [];
    const note = (what: string, key: Buffer) => operations.push(`${what} ${key.toString('latin1', 0, 1)}`);
    return {
      put: (key: Buffer, value: Buffer) => {
        note('put', key);
        batch.put(key, value);
      },
      del: (key: Buffer) => {
        note('del', key);
        batch.del(key);
      },
      write: async () => {
        this.batches.push(operations);
        this.inFlight += 1;
        this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
        if (this.failWith !== null) throw this.failWith;
        if (this.hang !== null) await this.hang;
        await batch.write();
        this.inFlight -= 1;
      },
    };
  }
}

/** Timers that come again and again, run by hand while they are there. */
function handDriven(): { scheduler: Scheduler; timers: { periodMs: number; run: () => void }[] } {
  const timers: { periodMs: number; run: () => void }[] = [];
  const every: Scheduler['every'] = (periodMs, run) => {
    const timer = { periodMs, run };
    timers.push(timer);
    return { stop: () => void timers.splice(timers.indexOf(timer), 1) };
  };
  return { scheduler: { ...systemScheduler, every }, timers };
}

describe('the way to disk', () => {
  let rig: StoreRig;
  let disk: WatchedDisk;
  const start = async () => {
    disk = new WatchedDisk();
    rig = await StoreRig.create({ openDatabase: disk.open });
    disk.batches.length = 0;
  };
  afterEach(() => rig.destroy());

  it('takes the entries of a turn together, with one head', async () => {
    await start();
    for (let round = 0; round < 10; round += 1) rig.run(put('k', `${round}`));
    expect([rig.store.durable.index, rig.store.applied.index]).toEqual([0, 10]);
    expect(rig.store.unflushedBytes).toBeGreaterThan(0);
    await rig.store.flushed();
    expect(disk.batches).toEqual([
      [...Array.from({ length: 10 }, () => ['put k', 'put l']).flat(), 'put h', 'del h'],
    ]);
    expect(rig.durable).toEqual([rig.store.applied]);
    expect([rig.store.durable, rig.store.unflushedBytes]).toEqual([rig.store.applied, 0]);
  });

  it('writes nothing of what comes and goes within a batch', async () => {
    await start();
    rig.apply(command({ createToken: { id: 't', secretHash: Buffer.alloc(32), role: 'voter', ttlMs: 5 } }));
    rig.apply(command({ revokeToken: { id: 't' } }));
    await rig.store.flushed();
    expect(disk.batches).toEqual([['put l', 'put l', 'put h', 'del h']]);
    await rig.reopen();
  });

  it('deletes what an earlier batch has written', async () => {
    await start();
    rig.apply(command({ createToken: { id: 't', secretHash: Buffer.alloc(32), role: 'voter', ttlMs: 5 } }));
    await rig.store.flushed();
    rig.apply(command({ revokeToken: { id: 't' } }));
    await rig.store.flushed();
    expect(disk.batches[1]).toEqual(['del t', 'put l', 'put h', 'del h']);
    await rig.reopen();
    expect(rig.store.size.tokens).toBe(0);
  });

  it('writes what goes only in a later batch', async () => {
    await start();
    const fill = Array.from({ length: 64 }, (_, position) => put(`k${position}`, 'v'));
    rig.apply(command({ createToken: { id: 't', secretHash: Buffer.alloc(32), role: 'voter', ttlMs: 5 } }));
    for (let rows = 0; rows < LIMITS.stateBatchRowsMax; rows += fill.length) rig.apply(write(fill));
    rig.apply(command({ revokeToken: { id: 't' } }));
    await rig.store.flushed();
    expect(disk.batches.map((operations) => operations.filter((one) => one.endsWith(' t')))).toEqual([
      ['put t'],
      ['del t'],
    ]);
    await rig.reopen();
  });

  it('keeps batches within their rows and bytes, in order, one at a time', async () => {
    await start();
    const value = 'x'.repeat(1024 * 1024);
    for (let round = 0; round < 20; round += 1) rig.run(put('big', value));
    const small = Array.from({ length: 100 }, (_, position) => put(`k${position}`, ''));
    for (let round = 0; round < 50; round += 1) rig.apply(write(small));
    await rig.store.flushed();
    const puts = disk.batches.map((operations) => operations.filter((one) => one === 'put k').length);
    expect(puts.slice(0, 2)).toEqual([7, 7]);
    expect(Math.max(...puts)).toBeLessThanOrEqual(LIMITS.stateBatchRowsMax);
    expect(puts.reduce((sum, count) => sum + count)).toBe(20 + 5_000);
    expect(disk.mostInFlight).toBe(1);
    expect(rig.durable.map(({ index }) => index)).toEqual(
      rig.durable.map(({ index }) => index).sort((a, b) => a - b),
    );
  });

  it('gathers what comes within a moment into one batch', async () => {
    await start();
    rig.run(put('first', 'v'));
    await rig.store.flushed();
    const before = disk.batches.length;
    for (let i = 0; i < 10; i += 1) {
      rig.run(put(`k${i}`, 'v'));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(disk.batches.length).toBe(before);
    await rig.store.flushed();
    expect(disk.batches.length).toBe(before + 1);
  });

  it('serves values before, while and after they are written', async () => {
    await start();
    const value = () => Buffer.from(rig.store.get('k')?.value ?? '').toString();
    rig.run(put('k', 'v'.repeat(5000)));
    expect(value()).toBe('v'.repeat(5000));
    const flushed = rig.store.flushed();
    await new Promise((resolve) => setImmediate(resolve));
    expect(value()).toBe('v'.repeat(5000));
    await flushed;
    expect(value()).toBe('v'.repeat(5000));
    await rig.reopen();
    expect(value()).toBe('v'.repeat(5000));
  });

  it('ends with the first error: reported once, nothing durable, applied or written after it', async () => {
    await start();
    rig.run(put('k', 'good'));
    await rig.store.flushed();
    disk.failWith = Object.assign(new Error('IO error: no space'), { code: 'LEVEL_IO_ERROR' });
    rig.run(put('k', 'lost'));
    await expect(rig.store.flushed()).rejects.toMatchObject({ code: 'DISK_FAILED' });
    const written = disk.batches.length;
    disk.failWith = null;
    expect(() => rig.run(put('k', 'after'))).toThrow(expect.objectContaining({ code: 'DISK_FAILED' }));
    await expect(rig.store.close()).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect(rig.fatal.map(({ code }) => code)).toEqual(['DISK_FAILED']);
    expect([disk.batches.length, rig.durable.at(-1)?.index]).toEqual([written, 1]);
    rig.store = await Store.open(rig.options());
    expect(Buffer.from(rig.store.get('k')?.value ?? '').toString()).toBe('good');
  });

  it('does not try the next batch after one that failed', async () => {
    await start();
    const fill = Array.from({ length: 100 }, (_, position) => put(`k${position}`, 'v'));
    for (let rows = 0; rows < 3 * LIMITS.stateBatchRowsMax; rows += fill.length) rig.apply(write(fill));
    disk.failWith = new Error('IO error');
    await expect(rig.store.flushed()).rejects.toMatchObject({ code: 'DISK_FAILED' });
    await expect(rig.store.close()).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect([disk.batches.length, rig.fatal.length, rig.durable.length]).toEqual([1, 1, 0]);
  });

  it('is waited for by whoever asks, also when the batch has left the queue', async () => {
    await start();
    let release = (): void => undefined;
    disk.hang = new Promise((resolve) => {
      release = resolve;
    });
    rig.run(put('k', 'v'.repeat(LIMITS.stateGatherBytes)));
    while (disk.batches.length === 0) await new Promise((resolve) => setImmediate(resolve));
    let done = false;
    const flushed = rig.store.flushed().then(() => {
      done = true;
    });
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(done).toBe(false);
    release();
    await flushed;
    expect(rig.store.durable.index).toBe(1);
  });

  it('stops the node when it hangs, and believes nothing that comes back later', async () => {
    disk = new WatchedDisk();
    const { scheduler, timers } = handDriven();
    rig = await StoreRig.create({ openDatabase: disk.open, scheduler });
    rig.run(put('k', 'good'));
    await rig.store.flushed();
    expect(timers).toEqual([]);
    const durable = rig.durable.length;
    let release = (): void => undefined;
    disk.hang = new Promise((resolve) => {
      release = resolve;
    });
    rig.run(put('k', 'hangs'));
    while (timers.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(rig.fatal).toEqual([]);
    for (let ms = timers[0]?.periodMs ?? 0; ms < LIMITS.diskStallFatalMs; ms += timers[0]?.periodMs ?? 0)
      timers[0]?.run();
    expect(rig.fatal).toEqual([]);
    timers[0]?.run();
    expect(rig.fatal).toMatchObject([
      { code: 'DISK_FAILED', message: expect.stringContaining('not returned') },
    ]);
    expect(() => rig.run(put('k', 'after'))).toThrow(expect.objectContaining({ code: 'DISK_FAILED' }));
    release();
    await expect(rig.store.close()).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect(rig.durable.length).toBe(durable);
    expect(rig.fatal).toHaveLength(1);
  });

  it('stops the node when a look at what is still there hangs, and writes nothing after it', async () => {
    disk = new WatchedDisk();
    const { scheduler, timers } = handDriven();
    rig = await StoreRig.create({ openDatabase: disk.open, scheduler });
    rig.run(put('k', 'good'));
    await rig.store.flushed();
    const batches = disk.batches.length;
    let release = (): void => undefined;
    disk.hang = new Promise((resolve) => {
      release = resolve;
    });
    const sources = { random: new SeededRandom(5), clock: new ManualClock() };
    rig.sealer.setKeyring(withNewActiveKey(rig.sealer.keyring, sources));
    const rewritten = rig.store.rewrite(() => Promise.resolve(true));
    while (timers.length === 0) await new Promise((resolve) => setImmediate(resolve));
    for (let ms = 0; ms < LIMITS.diskStallFatalMs; ms += timers[0]?.periodMs ?? Number.POSITIVE_INFINITY)
      timers[0]?.run();
    expect(rig.fatal).toMatchObject([{ code: 'DISK_FAILED' }]);
    release();
    expect(await rewritten).toEqual({ rewritten: 0, whole: false });
    expect(disk.batches.length).toBe(batches);
    expect(timers).toEqual([]);
  });

  it('is not given up because the whole process stood still', async () => {
    disk = new WatchedDisk();
    const { scheduler, timers } = handDriven();
    rig = await StoreRig.create({ openDatabase: disk.open, scheduler });
    rig.run(put('k', 'v'));
    while (timers.length === 0) await new Promise((resolve) => setImmediate(resolve));
    // However long that was, its timer comes once, before what the disk has done meanwhile.
    timers[0]?.run();
    await rig.store.flushed();
    expect(rig.fatal).toEqual([]);
    expect(timers).toEqual([]);
  });

  it('forgets nothing of a deletion that is on disk only', async () => {
    await start();
    rig.run(put('a', 'v'));
    rig.run(remove('a'));
    await rig.reopen();
    expect(
      rig.store.history({ key: 'a', limit: 0, keysOnly: false }).versions.map(({ deleted }) => deleted),
    ).toEqual([true, false]);
  });
});
