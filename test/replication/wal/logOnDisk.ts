import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { HoldfastError } from '../../../src/base/errors.ts';
import type { StoreId } from '../../../src/base/ids.ts';
import { DiskWal, type DiskWalOptions } from '../../../src/replication/wal/diskWal.ts';
import type { WalContents } from '../../../src/replication/wal/types.ts';
import { batchOf, EMPTY, ModelLog, NODE_A, plain, run } from '../../suites/writeAheadLogModel.ts';
import { MemoryFiles } from './memoryFiles.ts';

export { recordOffsets } from './recordOffsets.ts';

export const STORE = '0123456789abcdef' as StoreId;
export const SEGMENT_BYTES = 4096;

/** Options of a log in files that are nowhere but in memory. */
export interface MemoryLogOptions extends DiskWalOptions {
  readonly files: MemoryFiles;
}

export function inMemory(options: Partial<DiskWalOptions> = {}): MemoryLogOptions {
  return {
    directory: '/wal',
    storeId: STORE,
    segmentBytes: SEGMENT_BYTES,
    ...options,
    files: new MemoryFiles(),
  };
}

export async function segmentPaths({ directory, files }: DiskWalOptions): Promise<string[]> {
  const names = await (files?.list(directory) ?? readdir(directory));
  return names
    .filter((name) => name.endsWith('.wal'))
    .toSorted()
    .map((name) => join(directory, name));
}

export async function keptAside({ directory, files }: MemoryLogOptions): Promise<string[]> {
  return (await files.list(directory)).filter((name) => name.endsWith('.damaged')).toSorted();
}

export async function opened(options: DiskWalOptions): Promise<WalContents> {
  const { wal, contents } = await DiskWal.open(options);
  await wal.close();
  return contents;
}

export async function refusal(options: DiskWalOptions): Promise<HoldfastError> {
  try {
    await opened(options);
  } catch (thrown) {
    if (thrown instanceof HoldfastError) return thrown;
    throw thrown;
  }
  throw new Error('the log opened');
}

export interface WrittenLog<Options extends DiskWalOptions = MemoryLogOptions> {
  readonly options: Options;
  /** The contents after every batch. */
  readonly after: readonly unknown[];
  /** The index of the last entry. */
  readonly lastIndex: number;
}

/** A log of `batches` batches with two entries each. */
export async function writtenLog<Options extends DiskWalOptions>(
  options: Options,
  { batches, payloadBytes = 20 }: { batches: number; payloadBytes?: number },
): Promise<WrittenLog<Options>> {
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
  return { options, after, lastIndex: model.last.index };
}

/** The same, as a crash leaves it between the last write and that of the watermark, which names the batch before. */
export async function unnamedLog(size: { batches: number; payloadBytes?: number }): Promise<WrittenLog> {
  const options = inMemory();
  const log = await writtenLog(options, size);
  const before = await writtenLog(inMemory(), { ...size, batches: size.batches - 1 });
  options.files.put(watermarkPath(options), await before.options.files.read(watermarkPath(options)));
  return log;
}

export function watermarkPath({ directory }: DiskWalOptions): string {
  return join(directory, 'watermark');
}

export async function onlySegment(options: MemoryLogOptions): Promise<{ path: string; whole: Buffer }> {
  const path = present((await segmentPaths(options))[0], 'segment');
  return { path, whole: await options.files.read(path) };
}

/** The log is suspect, now and when it is opened anew; what it holds is one of the states that it was in. */
export async function expectSuspect(log: WrittenLog): Promise<WalContents> {
  const contents = await opened(log.options);
  expect(contents.suspicion?.until.index).toBe(log.lastIndex);
  const entries = contents.entries.length;
  const same = log.after.map((state) => JSON.stringify(state));
  const found = JSON.stringify({ ...(plain(contents) as object), hardState: null });
  expect(same.map((state) => JSON.stringify({ ...JSON.parse(state), hardState: null }))).toContain(found);
  expect(contents.hardState).toMatchObject({ term: 1, vote: NODE_A });
  const again = await opened(log.options);
  expect(again.suspicion?.until.index).toBe(log.lastIndex);
  expect(again.entries).toHaveLength(entries);
  expect(again.hardState).toEqual(contents.hardState);
  return contents;
}

export async function expectSuspectUntil(options: DiskWalOptions, index: number): Promise<WalContents> {
  const contents = await opened(options);
  expect(contents.suspicion?.until.index).toBe(index);
  return contents;
}
