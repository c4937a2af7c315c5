import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { realSegmentFiles } from '../../../src/replication/wal/segmentFiles.ts';
import { type SealedPart, verifySealedSegments } from '../../../src/replication/wal/segmentReader.ts';
import {
  inMemory,
  type MemoryLogOptions,
  SEGMENT_BYTES,
  STORE,
  segmentPaths,
  writtenLog,
} from './logOnDisk.ts';

const always = (): Promise<boolean> => Promise.resolve(true);
const SIZE = { batches: 60, payloadBytes: 100 };

function verify(
  { directory, files }: Pick<MemoryLogOptions, 'directory' | 'files'>,
  pace: (bytes: number) => Promise<boolean> = always,
): Promise<SealedPart> {
  return verifySealedSegments({ directory, files, storeId: STORE, segmentBytes: SEGMENT_BYTES }, pace);
}

it('a whole log is sound, but for the newest segment, which is being written', async () => {
  const { options } = await writtenLog(inMemory(), SIZE);
  const paths = await segmentPaths(options);
  expect(paths.length).toBeGreaterThan(3);
  const part = await verify(options);
  expect(part).toEqual({
    segments: paths.length - 1,
    bytes: (paths.length - 1) * SEGMENT_BYTES,
    damage: null,
  });
  options.files.put(paths.at(-1) ?? '', Buffer.alloc(SEGMENT_BYTES, 7));
  expect((await verify(options)).damage).toBeNull();
});

it('a bit that flips in any record of a sealed segment is found, with its place', async () => {
  const { options } = await writtenLog(inMemory(), SIZE);
  const paths = await segmentPaths(options);
  for (const [at, path] of paths.slice(0, -1).entries()) {
    const whole = await options.files.read(path);
    for (const offset of [3, 60, 1_000, 2_500]) {
      const bytes = Buffer.from(whole);
      bytes.writeUInt8(bytes.readUInt8(offset) ^ 0x04, offset);
      options.files.put(path, bytes);
      const part = await verify(options);
      expect(part.damage).toContain(path);
      expect(part.segments).toBe(at + 1);
    }
    options.files.put(path, whole);
  }
});

it('a sealed segment of another log, sound by itself, is found', async () => {
  const { options } = await writtenLog(inMemory(), SIZE);
  const other = await writtenLog(inMemory(), { ...SIZE, payloadBytes: 101 });
  const [, second = ''] = await segmentPaths(options);
  options.files.put(second, await other.options.files.read(second));
  expect((await verify(options)).damage).toContain('does not go on');
});

it('segments that are removed meanwhile are no damage', async () => {
  const { options } = await writtenLog(inMemory(), SIZE);
  const paths = await segmentPaths(options);
  let looked = 0;
  const part = await verify(options, async () => {
    looked += 1;
    if (looked === 1) for (const path of paths.slice(0, 3)) await options.files.remove(path);
    return true;
  });
  expect(part).toMatchObject({ segments: paths.length - 3, damage: null });
});

it('the pace may end it', async () => {
  const { options } = await writtenLog(inMemory(), SIZE);
  expect(await verify(options, () => Promise.resolve(false))).toEqual({
    segments: 0,
    bytes: 0,
    damage: null,
  });
});

it('real files are read again', async () => {
  const directory = join(await mkdtemp(join(tmpdir(), 'holdfast-sealed-')), 'wal');
  const { options } = await writtenLog({ directory, storeId: STORE, segmentBytes: SEGMENT_BYTES }, SIZE);
  const [first = ''] = await segmentPaths(options);
  expect((await verify({ directory, files: realSegmentFiles } as never)).damage).toBeNull();
  const bytes = await readFile(first);
  bytes.writeUInt8(bytes.readUInt8(900) ^ 1, 900);
  await writeFile(first, bytes);
  expect((await verify({ directory, files: realSegmentFiles } as never)).damage).toContain(first);
  await rm(join(directory, '..'), { recursive: true });
});
