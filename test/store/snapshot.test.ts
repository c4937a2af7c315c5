import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { DatabaseRow } from '../../src/store/database.ts';
import type { StoreSnapshot } from '../../src/store/snapshot.ts';
import { Store } from '../../src/store/store.ts';
import { codeOf, command, placeAt, put, StoreRig, sealerOf, write } from './storeRig.ts';

async function collect(snapshot: StoreSnapshot): Promise<DatabaseRow[][]> {
  const chunks: DatabaseRow[][] = [];
  for await (const chunk of snapshot.rows()) chunks.push([...chunk]);
  return chunks;
}

async function* stream<T>(chunks: readonly T[]): AsyncIterable<T> {
  for (const chunk of chunks) yield chunk;
}

describe('a snapshot', () => {
  let source: StoreRig;
  let target: StoreRig;
  let clientId: number;

  beforeEach(async () => {
    const sealer = sealerOf();
    source = await StoreRig.create({ sealer });
    target = await StoreRig.create({ sealer });
    clientId = source.apply(command({ registerClient: {} }))[0]?.client?.clientId ?? 0;
    for (let round = 0; round < 30; round += 1) source.run(put(`k${round % 7}`, `v${round}`.repeat(50)));
    source.run(put('big', 'x'.repeat(LIMITS.snapshotChunkBytes + 100)));
    source.apply(write([put('once', '1')], { clientId, number: 1, floor: 1 }));
    await source.store.flushed();
    target.run(put('old', 'old'));
    target.run(put('old', 'older'));
  });
  afterEach(async () => {
    await source.destroy();
    await target.destroy();
  });

  const take = async () => {
    const snapshot = await source.store.openSnapshot();
    const chunks = await collect(snapshot);
    await snapshot.close();
    const place = { index: snapshot.head.index, term: 1, hash: Buffer.from(snapshot.head.hash) };
    return { chunks, place, expected: { ...place, configuration: source.store.configuration } };
  };

  it('stands still while the state goes on, in portions of bounded size', async () => {
    const snapshot = await source.store.openSnapshot();
    const digest = source.store.digest;
    const { index } = source.store.applied;
    source.run(put('later', ''));
    await source.store.flushed();
    const chunks = await collect(snapshot);
    await snapshot.close();
    expect([snapshot.head.index, Buffer.from(snapshot.head.digest)]).toEqual([index, digest]);
    expect(chunks.length).toBeGreaterThan(1);
    for (const chunk of chunks) {
      const bytes = chunk.reduce((sum, { key, envelope }) => sum + key.length + envelope.length, 0);
      expect(chunk.length === 1 || bytes <= LIMITS.snapshotChunkBytes).toBe(true);
    }
    const expected = { ...placeAt(index), configuration: source.store.configuration };
    await target.store.installSnapshot({ rows: stream(chunks), expected });
    expect(target.store.digest).toEqual(digest);
  });

  it('replaces a whole state, durably, and the state goes on from it as its source does', async () => {
    const ended: number[] = [];
    target.store.watch(
      { start: '', end: '', startRevision: 0, previous: false, progress: false },
      {
        deliver: () => true,
        cancelled: (error, revision) => ended.push(error.code === 'WATCH_BEHIND' ? revision : -1),
      },
    );
    const { chunks, place, expected } = await take();
    await target.store.installSnapshot({ rows: stream(chunks), expected });
    expect(ended).toEqual([3]);
    expect(target.durable.at(-1)).toEqual(place);
    for (let round = 0; round < 2; round += 1) {
      expect([target.store.applied, target.store.durable]).toEqual([place, place]);
      expect(target.store.digest).toEqual(source.store.digest);
      expect(target.store.get('old')).toBeNull();
      expect(target.store.get('k3')).toEqual(source.store.get('k3'));
      await target.reopen();
    }
    expect((await readdir(join(target.directory, 'state'))).sort()).toEqual(['2', 'current']);
    const again = write([put('once', '1')], { clientId, number: 1, floor: 1 });
    expect(target.apply(again)[0]?.replayed).toBe(true);
    source.apply(again);
    source.run(put('k1', 'next'));
    target.run(put('k1', 'next'));
    expect(target.store.digest).toEqual(source.store.digest);
    await target.reopen();
    expect(target.store.digest).toEqual(source.store.digest);
  });

  it('drops what was applied and not yet on disk', async () => {
    const { chunks, expected } = await take();
    for (let round = 0; round < 50; round += 1) target.run(put('unflushed', `${round}`));
    await target.store.installSnapshot({ rows: stream(chunks), expected });
    await target.store.flushed();
    await target.reopen();
    expect([target.store.digest, target.store.get('unflushed')]).toEqual([source.store.digest, null]);
  });

  it.each<[string, (rows: DatabaseRow[]) => DatabaseRow[]]>([
    ['with a row missing', (rows) => rows.slice(0, 10).concat(rows.slice(11))],
    [
      'with a row twice, once elsewhere',
      (rows) => [...rows, { key: moved(rows[5]), envelope: rows[5]?.envelope ?? Buffer.alloc(0) }],
    ],
    [
      'with a row damaged',
      (rows) => rows.map((row, position) => (position === 7 ? { ...row, envelope: damaged(row) } : row)),
    ],
    [
      'with a key that no row has',
      (rows) => [...rows, { key: Buffer.from('zzz'), envelope: Buffer.alloc(60) }],
    ],
    ['that is empty', () => []],
  ])('%s changes nothing', async (_what, change) => {
    const { chunks, expected } = await take();
    const before = target.store.digest;
    target.run(put('old', 'newest'));
    const digest = target.store.digest;
    await expect(
      target.store.installSnapshot({ rows: stream([change(chunks.flat())]), expected }),
    ).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    expect([target.store.digest.equals(digest), digest.equals(before)]).toEqual([true, false]);
    target.run(put('old', 'newest of all'));
    const last = target.store.digest;
    await target.reopen();
    expect(target.store.digest).toEqual(last);
    expect((await readdir(join(target.directory, 'state'))).sort()).toEqual(['1', 'current']);
  });

  it('of another place or configuration than it came with changes nothing', async () => {
    const { chunks, expected } = await take();
    const configuration = { ...expected.configuration, learners: ['00000000000000bb'] };
    for (const other of [{ index: 5 }, { term: 2 }, { hash: Buffer.alloc(32) }, { configuration }]) {
      await expect(
        target.store.installSnapshot({ rows: stream(chunks), expected: { ...expected, ...other } }),
      ).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    }
    expect(codeOf(target.run(put('old', 'still')))).toBe('none');
    await target.reopen();
  });

  it('whose source fails midway changes nothing', async () => {
    const { chunks, expected } = await take();
    async function* broken() {
      yield chunks[0] ?? [];
      throw new Error('the peer is gone');
    }
    await expect(target.store.installSnapshot({ rows: broken(), expected })).rejects.toThrow(
      'the peer is gone',
    );
    expect(target.fatal).toEqual([]);
    target.run(put('old', 'still'));
    await target.reopen();
    expect(Buffer.from(target.store.get('old')?.value ?? '').toString()).toBe('still');
  });

  it('that was cut off before it counted leaves the state before it', async () => {
    const { index } = target.store.applied;
    await target.store.close();
    const folder = join(target.directory, 'state');
    await mkdir(join(folder, '2'));
    await writeFile(join(folder, '2', 'CURRENT'), 'half');
    await writeFile(join(folder, 'current.new'), '2\n');
    target.store = await Store.open(target.options());
    expect(target.store.applied.index).toBe(index);
    expect(await readdir(folder)).not.toContain('2');
  });

  it('that fails at the moment when it would count stops the node, and leaves both states', async () => {
    const { chunks, expected } = await take();
    const folder = join(target.directory, 'state');
    // A folder in the place of the temporary file: the pointer cannot be replaced.
    await mkdir(join(folder, 'current.new'));
    await expect(target.store.installSnapshot({ rows: stream(chunks), expected })).rejects.toMatchObject({
      code: 'DISK_FAILED',
    });
    expect(target.fatal.map(({ code }) => code)).toEqual(['DISK_FAILED']);
    expect(() => target.run(put('old', 'no'))).toThrow();
    expect((await readdir(folder)).sort()).toEqual(['1', '2', 'current', 'current.new']);
  });

  it('lets nothing be applied while it is installed', async () => {
    const { chunks, expected } = await take();
    const installing = target.store.installSnapshot({ rows: stream(chunks), expected });
    expect(() => target.run(put('old', ''))).toThrow(/replaced/);
    await installing;
  });
});

function moved(row: DatabaseRow | undefined): Buffer {
  const key = Buffer.from(row?.key ?? Buffer.alloc(13));
  key[12] = 200;
  return key;
}

function damaged({ envelope }: DatabaseRow): Buffer {
  const copy = Buffer.from(envelope);
  copy[40] = (copy[40] ?? 0) ^ 1;
  return copy;
}
