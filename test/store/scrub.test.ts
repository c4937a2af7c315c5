import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLevelDatabase } from '../../src/store/database.ts';
import { Store } from '../../src/store/store.ts';
import { placeAt, put, StoreRig } from './storeRig.ts';

const always = (): Promise<boolean> => Promise.resolve(true);

/** A state with tables of LevelDB on a real disk. */
let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create({ cacheBytesMax: 0 });
  for (let i = 0; i < 600; i += 1) rig.run(put(`k${i}`, `${i} `.repeat(50)));
  await rig.reopen();
});
afterEach(() => rig.destroy());

/** Changes one byte of a stored row in place, under the running database. */
async function damage(pick: (envelopes: readonly Buffer[]) => Buffer): Promise<void> {
  await rig.store.close();
  const path = join(rig.directory, 'state', '1');
  const database = await openLevelDatabase({ path, create: false });
  const snapshot = database.snapshot();
  const envelopes: Buffer[] = [];
  for await (const portion of snapshot.rows('k')) envelopes.push(...portion.map(({ envelope }) => envelope));
  await snapshot.close();
  await database.close();
  rig.store = await Store.open(rig.options());
  const envelope = pick(envelopes);
  for (const name of readdirSync(path).filter((file) => file.endsWith('.ldb'))) {
    const at = readFileSync(join(path, name)).indexOf(envelope);
    if (at < 0) continue;
    const descriptor = openSync(join(path, name), 'r+');
    writeSync(descriptor, Buffer.from([(envelope[40] ?? 0) ^ 1]), 0, 1, at + 40);
    closeSync(descriptor);
    return;
  }
  throw new Error('no table holds the row');
}

describe('reading a state again', () => {
  it('finds nothing in one that is whole, while it goes on', async () => {
    let portions = 0;
    const scrubbed = await rig.store.scrub(({ rows, bytes }) => {
      portions += 1;
      expect(rows).toBeGreaterThan(0);
      expect(bytes).toBeGreaterThan(0);
      rig.run(put(`meanwhile${portions}`, 'x'));
      return always();
    });
    expect(scrubbed).toMatchObject({ rows: 2 * 600, whole: true });
    expect(portions).toBeGreaterThan(1);
    await rig.store.flushed();
    expect((await rig.store.scrub(always))?.rows).toBe(2 * (600 + portions));
    expect(rig.fatal).toEqual([]);
  });

  it('finds one bit that has flipped on the disk, and stops the node', async () => {
    await damage((envelopes) => envelopes[300] as Buffer);
    await expect(rig.store.scrub(always)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    expect(rig.fatal).toHaveLength(1);
    expect(rig.fatal[0]?.message).toMatch(/^row \d+\.0 of table k does not open/);
    expect(() => rig.run(put('k', 'after'))).toThrow();
  });

  it.each([
    ['missing', (rows: number[]) => rows.slice(1)],
    ['too many', (rows: number[]) => [...rows, 0]],
  ])('finds rows that are %s', async (_what, change) => {
    await rig.store.close();
    let tampered = false;
    const store = await Store.open({
      ...rig.options(),
      openDatabase: async (options) => {
        const real = await openLevelDatabase(options);
        const snapshot = () => {
          const frozen = real.snapshot();
          async function* rows(prefix: string) {
            for await (const portion of frozen.rows(prefix)) {
              const kept = tampered && prefix === 'k' ? change(portion.map((_, at) => at)) : null;
              yield kept === null ? portion : kept.flatMap((at) => portion[at] ?? []);
            }
          }
          return { rows, close: () => frozen.close() };
        };
        return { ...real, snapshot };
      },
    });
    rig.store = store;
    tampered = true;
    await expect(store.scrub(always)).rejects.toMatchObject({
      code: 'STATE_CORRUPT',
      message: expect.stringContaining('missing or too many'),
    });
  });

  it('ends early when it is told to, and finds nothing by that', async () => {
    expect(await rig.store.scrub(() => Promise.resolve(false))).toMatchObject({ rows: 0, whole: false });
    expect(rig.fatal).toEqual([]);
  });

  it('has nothing to say of a state that is replaced or closed meanwhile', async () => {
    const source = await StoreRig.create({ sealer: rig.sealer });
    for (let i = 0; i < 700; i += 1) source.run(put(`s${i}`, 'x'));
    await source.store.flushed();
    const snapshot = await source.store.openSnapshot();
    let replaced = false;
    const scrubbed = await rig.store.scrub(async () => {
      if (!replaced)
        await rig.store.installSnapshot({
          rows: snapshot.rows(),
          expected: { ...placeAt(700), configuration: rig.store.configuration },
        });
      replaced = true;
      return true;
    });
    expect(scrubbed === null || !scrubbed.whole).toBe(true);
    const closed = await rig.store.scrub(async () => {
      await rig.store.close();
      return true;
    });
    expect(closed === null || !closed.whole).toBe(true);
    expect(await rig.store.scrub(always)).toBeNull();
    expect(rig.fatal).toEqual([]);
    await snapshot.close();
    await source.destroy();
  });

  it('takes no error for a finding that comes of closing', async () => {
    await rig.store.close();
    let store: Store | null = null;
    const openDatabase = async (options: { path: string; create: boolean }) => {
      const real = await openLevelDatabase(options);
      const snapshot = () => {
        const frozen = real.snapshot();
        async function* rows(prefix: string) {
          if (prefix === 'k' && store !== null) {
            await store.close();
            throw Object.assign(new Error('closed'), { code: 'LEVEL_DATABASE_NOT_OPEN' });
          }
          yield* frozen.rows(prefix);
        }
        return { rows, close: () => frozen.close() };
      };
      return { ...real, snapshot };
    };
    store = await Store.open({ ...rig.options(), openDatabase });
    expect(await store.scrub(always)).toBeNull();
    expect(rig.fatal).toEqual([]);
  });
});
