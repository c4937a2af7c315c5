import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DiskWal } from '../../src/replication/wal/diskWal.ts';
import { PREPARED_NAME } from '../../src/replication/wal/segment.ts';
import { opened, STORE, writtenLog } from '../../test/replication/wal/logOnDisk.ts';
import { flipBit, lastRecord, namedParts, namedRecord, tearTail } from './logDamage.ts';
import { SeededChoice } from './seededChoice.ts';

const dir = mkdtempSync(join(tmpdir(), 'chaos-log-'));
const original = join(dir, 'original');
const SEGMENT_BYTES = 64 * 1024;

/** Preallocated far beyond what is used, and with the next one prepared, as the log of a node that was killed. */
beforeAll(async () => {
  const options = { storeId: STORE, segmentBytes: SEGMENT_BYTES, directory: join(dir, 'written') };
  await writtenLog(options, { batches: 200, payloadBytes: 100 });
  cpSync(options.directory, original, { recursive: true });
  cpSync(namedParts(original)[0]?.path ?? '', join(original, PREPARED_NAME));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

function copy(name: string): { readonly directory: string } & Parameters<typeof DiskWal.open>[0] {
  const directory = join(dir, name);
  cpSync(original, directory, { recursive: true });
  return { storeId: STORE, segmentBytes: SEGMENT_BYTES, directory };
}

const seeds = Array.from({ length: 40 }, (_none, seed) => seed);

describe('a log', () => {
  it('is whole before it is harmed', async () => {
    expect((await opened(copy('whole'))).suspicion).toBeNull();
  });

  it('ends with the record that its watermark names, once it was closed', () => {
    expect(lastRecord(original)).toBe(200);
    expect(namedRecord(original)).toBe(200);
  });

  it.each(seeds)('whose tail is torn has lost something that is found out (seed %i)', async (seed) => {
    const options = copy(`torn-${seed}`);
    expect(tearTail(options.directory, new SeededChoice(seed))).toMatch(/cut off|zeros|flipped/);
    expect((await opened(options)).suspicion).not.toBeNull();
  });

  it.each(seeds)('with a bit flipped in its used part has lost something (seed %i)', async (seed) => {
    const options = copy(`flipped-${seed}`);
    const random = new SeededChoice(seed);
    const { path, end } = random.one(namedParts(options.directory));
    flipBit(path, random.integer(0, end - 1), random.integer(0, 7));
    expect((await opened(options)).suspicion).not.toBeNull();
  });
});
