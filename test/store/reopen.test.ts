import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withToggle } from '../../src/envelope/keyring.ts';
import { type Database, type DatabaseRow, openLevelDatabase } from '../../src/store/database.ts';
import { parseRowKey } from '../../src/store/row.ts';
import { Store } from '../../src/store/store.ts';
import { command, put, remove, StoreRig, sealerOf, write } from './storeRig.ts';

describe('a state on disk', () => {
  let rig: StoreRig;
  beforeEach(async () => {
    rig = await StoreRig.create();
  });
  afterEach(() => rig.destroy());

  it('is made once, and must be there to be opened', async () => {
    await expect(Store.create(rig.options())).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
    const elsewhere = await mkdtemp(join(tmpdir(), 'holdfast-none-'));
    await expect(Store.open(rig.options(elsewhere))).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
    await rm(elsewhere, { recursive: true });
  });

  it('is made anew when the making was cut off', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-cut-'));
    await mkdir(join(directory, 'state', '1'), { recursive: true });
    await writeFile(join(directory, 'state', '1', 'CURRENT'), 'rubbish');
    const store = await Store.create(rig.options(directory));
    expect(store.applied.index).toBe(0);
    await store.close();
    await rm(directory, { recursive: true });
  });

  it('cannot be opened twice', async () => {
    await expect(Store.open(rig.options())).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
  });

  it.each(['', '0\n', '1', '-1\n', '1\n\n', '../1\n'])('is not guessed from the pointer %j', async (text) => {
    await rig.store.close();
    await writeFile(join(rig.directory, 'state', 'current'), text);
    await expect(Store.open(rig.options())).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });

  it('is not made up for files that are gone', async () => {
    await rig.store.close();
    await rm(join(rig.directory, 'state', '1', 'CURRENT'));
    const before = await readdir(join(rig.directory, 'state', '1'));
    await expect(Store.open(rig.options())).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    expect(
      (await readdir(join(rig.directory, 'state', '1'))).filter((name) => before.includes(name)),
    ).toEqual(before);
  });

  it('keeps no name and no value in the clear with the toggle on, and both with it off', async () => {
    const contents = async (of: StoreRig) => {
      of.run(put('app/secret-name', 'secret-value'));
      await of.store.close();
      const folder = join(of.directory, 'state', '1');
      const files = (await readdir(folder)).map((name) => readFile(join(folder, name), 'latin1'));
      return (await Promise.all(files)).join('');
    };
    const off = await StoreRig.create({ sealer: sealerOf('off') });
    const [sealed, readable] = [await contents(rig), await contents(off)];
    expect([sealed.includes('secret-name'), sealed.includes('secret-value')]).toEqual([false, false]);
    expect(readable).toContain('"key":"app/secret-name","value":"secret-value"');
    off.store = await Store.open(off.options());
    expect(Buffer.from(off.store.get('app/secret-name')?.value ?? '').toString()).toBe('secret-value');
    await off.destroy();
  });

  it('stays readable when the toggle changes, and what is written then follows it', async () => {
    for (const value of ['off', 'on', 'off'] as const) {
      rig.run(put(`under-${rig.sealer.keyring.encryption}-${rig.store.revision}`, 'v'));
      await rig.store.flushed();
      rig.sealer.setKeyring(withToggle(rig.sealer.keyring, value));
    }
    rig.run(put('under-off-last', 'v'));
    const { digest } = rig.store;
    await rig.reopen();
    expect(rig.store.digest).toEqual(digest);
    const { items } = rig.store.range({
      start: '',
      end: '',
      limit: 0,
      keysOnly: false,
      countOnly: false,
      revision: 0,
    });
    expect(items.map(({ key }) => Buffer.from(key).toString())).toEqual([
      'under-off-1',
      'under-off-last',
      'under-on-0',
      'under-on-2',
    ]);
    const snapshot = await rig.store.openSnapshot();
    const suites: number[] = [];
    for await (const chunk of snapshot.rows()) suites.push(...chunk.map(({ envelope }) => envelope[4] ?? -1));
    await snapshot.close();
    // In the order of the rows: the head, then the four puts, then what is recorded of them.
    expect(suites).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 0]);
  });

  it('is the state at the last durable place after a crash at any batch', async () => {
    for (const batches of [1, 2, 5, 9]) {
      const stopping = new StoppingDisk(batches);
      const crashing = await StoreRig.create({ openDatabase: stopping.open });
      stopping.begin();
      const digests = new Map([[0, crashing.store.digest]]);
      for (let index = 1; index <= 40; index += 1) {
        crashing.apply(write([put(`k${index % 7}`, `v${index}`)]), write([remove(`k${(index * 3) % 7}`)]));
        digests.set(index, crashing.store.digest);
        if (index % 4 === 0) await Promise.race([crashing.store.flushed(), stopping.stopped]);
      }
      await stopping.stopped;
      const copy = await mkdtemp(join(tmpdir(), 'holdfast-crash-'));
      await cp(crashing.directory, copy, { recursive: true });
      const after = await Store.open({ ...crashing.options(copy), openDatabase: openLevelDatabase });
      expect(after.applied.index).toBe(crashing.store.durable.index);
      expect(after.applied.index).toBeLessThan(40);
      expect(after.digest).toEqual(digests.get(after.applied.index));
      await after.close();
      await rm(copy, { recursive: true });
      await rm(crashing.directory, { recursive: true });
    }
  });
});

/** From the batch after `batches` on, writes neither arrive nor return. */
class StoppingDisk {
  readonly stopped: Promise<void>;
  #begun = false;
  #left: number;
  #stop: () => void = () => undefined;

  constructor(batches: number) {
    this.#left = batches;
    this.stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
  }

  begin(): void {
    this.#begun = true;
  }

  readonly open = async (options: { path: string; create: boolean }): Promise<Database> => {
    const database = await openLevelDatabase(options);
    return {
      ...database,
      batch: () => {
        const batch = database.batch();
        return {
          ...batch,
          write: () => {
            if (!this.#begun || this.#left > 0) {
              if (this.#begun) this.#left -= 1;
              return batch.write();
            }
            this.#stop();
            return new Promise(() => undefined);
          },
        };
      },
    };
  };
}

describe('a damaged state is not opened', () => {
  let rig: StoreRig;
  let rows: DatabaseRow[];
  let database: Database;

  beforeEach(async () => {
    rig = await StoreRig.create();
    const client = rig.apply(command({ registerClient: {} }))[0]?.client?.clientId ?? 0;
    rig.apply(write([put('a', 'one'), put('b', 'two')], { clientId: client, number: 1, floor: 1 }));
    rig.apply(write([put('a', 'three')]));
    await rig.store.close();
    database = await openLevelDatabase({ path: join(rig.directory, 'state', '1'), create: false });
    rows = [];
    const snapshot = database.snapshot();
    for await (const portion of snapshot.rows('')) rows.push(...portion);
    await snapshot.close();
  });
  afterEach(() => rig.destroy());

  const find = (table: string, position = 0): DatabaseRow => {
    const row = rows.filter(({ key }) => parseRowKey(key).table === table)[position];
    if (row === undefined) throw new Error(`no row ${position} in ${table}`);
    return row;
  };
  const tamper = async (changes: { puts?: DatabaseRow[]; deletes?: DatabaseRow[] }) => {
    const batch = database.batch();
    for (const { key, envelope } of changes.puts ?? []) batch.put(key, envelope);
    for (const { key } of changes.deletes ?? []) batch.del(key);
    await batch.write();
    await database.close();
    return await Store.open(rig.options()).then(
      () => 'opened',
      (error: { code: string; message: string }) => `${error.code} ${error.message}`,
    );
  };
  const flipped = ({ key, envelope }: DatabaseRow): DatabaseRow => {
    const copy = Buffer.from(envelope);
    copy[copy.length - 20] = (copy[copy.length - 20] ?? 0) ^ 1;
    return { key, envelope: copy };
  };

  it('(control: an untouched one is)', async () => {
    expect(await tamper({})).toBe('opened');
    rig.store = await Store.open(rig.options()).catch(() => rig.store);
  });

  it.each([
    ['k', 'row 1.0 of table k'],
    ['c', 'row 1.0 of table c'],
    ['a', 'row 2.0 of table a'],
    ['h', 'row 3.0 of table h'],
  ])('with one bit flipped in table %s', async (table, name) => {
    const message = await tamper({ puts: [flipped(find(table))] });
    expect(message).toMatch(/^STATE_CORRUPT/);
    expect(message).toContain(name);
  });

  it('with two rows swapped', async () => {
    const [one, other] = [find('k', 0), find('k', 1)];
    const swapped = [
      { key: one.key, envelope: other.envelope },
      { key: other.key, envelope: one.envelope },
    ];
    expect(await tamper({ puts: swapped })).toMatch(/^STATE_CORRUPT row 1\.0 of table k does not open/);
  });

  it('with a row copied to another place', async () => {
    const key = Buffer.from(find('k').key);
    key[12] = 9;
    expect(await tamper({ puts: [{ key, envelope: find('k').envelope }] })).toMatch(
      /^STATE_CORRUPT row 1\.9 of table k/,
    );
  });

  it.each(['k', 'c', 'a'])('with a row of table %s missing', async (table) => {
    expect(await tamper({ deletes: [find(table)] })).toMatch(
      /^STATE_CORRUPT the rows of the state are not those/,
    );
  });

  it('without a head row', async () => {
    expect(await tamper({ deletes: [find('h')] })).toMatch(/^STATE_CORRUPT the state has 0 head rows/);
  });

  it('with a second head row', async () => {
    const key = Buffer.from(find('h').key);
    key[8] = 9;
    expect(await tamper({ puts: [{ key, envelope: find('h').envelope }] })).toMatch(
      /^STATE_CORRUPT the state has 2 head rows/,
    );
  });

  it('with the head row of before', async () => {
    const envelope = find('h').envelope;
    await database.close();
    const store = await Store.open(rig.options());
    rig.store = store;
    rig.run(put('c', 'four'));
    await store.close();
    database = await openLevelDatabase({ path: join(rig.directory, 'state', '1'), create: false });
    const newHead = Buffer.from(find('h').key);
    newHead[8] = 4;
    expect(
      await tamper({ puts: [{ key: find('h').key, envelope }], deletes: [{ key: newHead, envelope }] }),
    ).toMatch(/^STATE_CORRUPT the rows of the state are not those/);
  });

  it('with a key ring that lacks the key, which has a code of its own', async () => {
    await database.close();
    const options = { ...rig.options(), sealer: sealerOf('on', 99) };
    await expect(Store.open(options)).rejects.toMatchObject({ code: 'KEY_UNKNOWN' });
  });

  it.each([
    ['LEVEL_IO_ERROR', 'DISK_FAILED'],
    ['LEVEL_CORRUPTION', 'STATE_CORRUPT'],
  ])('and a read that fails with %s stops a running store', async (levelCode, code) => {
    await database.close();
    const fatal: string[] = [];
    let failing = false;
    const openDatabase = async (options: { path: string; create: boolean }) => {
      const real = await openLevelDatabase(options);
      const getSync = (key: Buffer) => {
        if (failing) throw Object.assign(new Error('it fails'), { code: levelCode });
        return real.getSync(key);
      };
      return { ...real, getSync };
    };
    const onFatal = (error: { code: string }) => fatal.push(error.code);
    const store = await Store.open({ ...rig.options(), openDatabase, onFatal });
    failing = true;
    expect(() => store.get('a')).toThrow(expect.objectContaining({ code }));
    failing = false;
    expect(fatal).toEqual([code]);
    expect(() =>
      store.apply({ kind: 'nothing', place: { index: 4, term: 1, hash: Buffer.alloc(32) } }),
    ).toThrow(expect.objectContaining({ code }));
    await store.close();
  });

  it('and a value that changes under a running store stops it', async () => {
    await database.close();
    const fatal: string[] = [];
    let tampered = false;
    const openDatabase = async (options: { path: string; create: boolean }) => {
      const real = await openLevelDatabase(options);
      return {
        ...real,
        getSync: (key: Buffer) => {
          const envelope = real.getSync(key);
          return envelope !== undefined && tampered ? flipped({ key, envelope }).envelope : envelope;
        },
      };
    };
    const store = await Store.open({
      ...rig.options(),
      openDatabase,
      onFatal: ({ code }) => fatal.push(code),
    });
    tampered = true;
    expect(() => store.get('a')).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }));
    expect(() => store.get('b')).toThrow();
    expect(fatal).toEqual(['STATE_CORRUPT']);
    expect(() =>
      store.apply({ kind: 'nothing', place: { index: 4, term: 1, hash: Buffer.alloc(32) } }),
    ).toThrow(/row/);
    await store.close();
  });
});
