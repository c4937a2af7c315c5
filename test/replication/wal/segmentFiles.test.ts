import type * as fs from 'node:fs';
import { constants, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import type * as os from 'node:os';
import { platform, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { DiskWal } from '../../../src/replication/wal/diskWal.ts';
import { realSegmentFiles, type SegmentFiles } from '../../../src/replication/wal/segmentFiles.ts';
import { batchOf, EMPTY, run, ZERO_END } from '../../suites/writeAheadLogModel.ts';
import { waitFor } from '../transport/waitFor.ts';
import { SEGMENT_BYTES, STORE } from './logOnDisk.ts';

let root = '';

beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'holdfast-wal-')));
});

afterAll(() => rm(root, { recursive: true, force: true }));

/** The files below a folder that this process has open, and the flags of each, as the kernel has them. */
function openFiles(folder: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const descriptor of readdirSync('/proc/self/fd')) {
    const path = read(() => readlinkSync(`/proc/self/fd/${descriptor}`));
    if (!path.startsWith(`${folder}/`)) continue;
    const flags = /^flags:\s+([0-7]+)$/m.exec(
      read(() => readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1')),
    );
    // Unless another thread has closed it meanwhile, and opened something else under its number.
    const isStill = path === read(() => readlinkSync(`/proc/self/fd/${descriptor}`));
    if (flags !== null && isStill) found.set(basename(path), Number.parseInt(flags[1] ?? '', 8));
  }
  return found;
}

/** Empty when the descriptor is gone. */
function read(text: () => string): string {
  try {
    return text();
  } catch {
    return '';
  }
}

/** The log has a segment and its watermark open, and nothing whose writes return before they are durable. */
function expectAllDurable(directory: string): string {
  const open = openFiles(directory);
  expect([...open].filter(([, flags]) => !writesThrough(flags))).toEqual([]);
  expect([...open.keys()]).toContain('watermark');
  const segments = [...open.keys()].filter((name) => name.endsWith('.wal')).toSorted();
  return present(segments.at(-1), 'an open segment');
}

const writesThrough = (flags: number | undefined): boolean => ((flags ?? 0) & constants.O_DSYNC) !== 0;

describe.skipIf(platform() !== 'linux')('on Linux, where the kernel tells how a file was opened,', () => {
  it.each(['create', 'existing'] as const)('a write returns when it is durable: %s', async (how) => {
    const folder = await mkdtemp(join(root, 'one-'));
    if (how === 'existing') await writeFile(join(folder, 'segment'), '');
    const file = await realSegmentFiles.open(join(folder, 'segment'), how);
    expect(writesThrough(openFiles(folder).get('segment'))).toBe(true);
    await file.close();
  });

  it('so does every one of a log: of each segment that is begun or gone on with, and of the watermark', async () => {
    const directory = join(await mkdtemp(join(root, 'log-')), 'wal');
    const options = { directory, storeId: STORE, segmentBytes: SEGMENT_BYTES };
    const wal = await DiskWal.create(options, EMPTY);
    const segments = new Set([expectAllDurable(directory)]);
    let last = ZERO_END;
    while (segments.size < 3) {
      const entries = run(last, 4, 1, 200);
      await wal.append(batchOf(entries));
      last = present(entries.at(-1), 'entry');
      segments.add(expectAllDurable(directory));
    }
    await wal.close();
    const { wal: again } = await DiskWal.open(options);
    expect(segments).toContain(expectAllDurable(directory));
    await again.close();
  });
});

/** What the module does on another system, with the calls that make a write durable in our hands. */
async function elsewhere(): Promise<{ files: SegmentFiles; flags: number[]; syncs: Sync[] }> {
  const flags: number[] = [];
  const syncs: Sync[] = [];
  const held = (call: Sync['call']) => (_descriptor: number, done: Sync['done']) =>
    void syncs.push({ call, done });
  vi.resetModules();
  vi.doMock('node:os', async (original) => ({ ...(await original<typeof os>()), platform: () => 'darwin' }));
  vi.doMock('node:fs', async (original) => {
    const real = await original<typeof fs>();
    const open = (
      path: string,
      how: number,
      mode: number,
      done: (error: Error | null, fd: number) => void,
    ) => {
      flags.push(how);
      real.open(path, how, mode, done);
    };
    return { ...real, open, fdatasync: held('fdatasync'), fsync: held('fsync') };
  });
  const { realSegmentFiles: files } = await import('../../../src/replication/wal/segmentFiles.ts');
  return { files, flags, syncs };
}

interface Sync {
  readonly call: 'fdatasync' | 'fsync';
  readonly done: (error: Error | null) => void;
}

describe('where writes stop at a cache', () => {
  let over: string[];
  let path: string;

  beforeEach(async () => {
    over = [];
    path = join(await mkdtemp(join(root, 'elsewhere-')), 'segment');
  });

  afterEach(() => {
    vi.doUnmock('node:os');
    vi.doUnmock('node:fs');
    vi.resetModules();
  });

  async function heldWrite() {
    const { files, flags, syncs } = await elsewhere();
    const file = await files.open(path, 'create');
    const written = file.writeDurably(Buffer.from('a record'), 0).then(
      () => void over.push('durable'),
      (error: Error) => void over.push(error.message),
    );
    await waitFor(() => syncs.length + over.length > 0);
    return { file, flags, syncs, written };
  }

  it('each is followed by fdatasync, and over no sooner than that', async () => {
    const { file, flags, syncs, written } = await heldWrite();
    expect(flags.map(writesThrough)).toEqual([false]);
    expect(syncs.map(({ call }) => call)).toEqual(['fdatasync']);
    // The bytes are with the system by then: it is they that are made durable.
    expect(await readFile(path, 'utf8')).toBe('a record');
    expect(over).toEqual([]);
    syncs[0]?.done(null);
    await written;
    expect(over).toEqual(['durable']);
    await file.close();
  });

  it('a failure of fdatasync is one of the write', async () => {
    const { file, syncs, written } = await heldWrite();
    syncs[0]?.done(new Error('the drive is gone'));
    await written;
    expect(over).toEqual(['the drive is gone']);
    await file.close();
  });

  it('a sync of contents and size is an fsync', async () => {
    const { files, syncs } = await elsewhere();
    const file = await files.open(path, 'create');
    const synced = file.sync().then(() => void over.push('synced'));
    await waitFor(() => syncs.length + over.length > 0);
    expect(over).toEqual([]);
    expect(syncs.map(({ call }) => call)).toEqual(['fsync']);
    syncs[0]?.done(null);
    await synced;
    await file.close();
  });
});
