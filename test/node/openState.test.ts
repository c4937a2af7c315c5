import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { DataDirectory } from '../../src/node/dataDirectory.ts';
import { divergedStates } from '../../src/node/divergedStates.ts';
import { checkState } from '../../src/node/doctor/state.ts';
import { openState } from '../../src/node/openState.ts';
import { stopForState } from '../../src/node/stopForState.ts';
import { encodeConfigurationChange } from '../../src/replication/raft/configurationCodec.ts';
import type { Configuration } from '../../src/replication/raft/types.ts';
import type { WalContents } from '../../src/replication/wal/types.ts';
import type { DatabaseRow } from '../../src/store/database.ts';
import { openLevelDatabase } from '../../src/store/database.ts';
import { markState } from '../../src/store/stateMark.ts';
import type { Store } from '../../src/store/store.ts';
import { placeAt, put, StoreRig, sealerOf } from '../store/storeRig.ts';

const ONE = '0000000000000001' as NodeId;
const TWO = '0000000000000002' as NodeId;

/** A state of eight entries on a real LevelDB, closed; opened in turn below. */
let rig: StoreRig;
let opened: Store | null;

beforeEach(async () => {
  rig = await StoreRig.create();
  for (let i = 0; i < 8; i += 1) rig.run(put(`k${i % 4}`, `${i} `.repeat(200)));
  await rig.store.close();
  opened = null;
});
afterEach(async () => {
  await opened?.close();
  await rig.destroy();
});

function logOf(voters: readonly NodeId[], base = 0): WalContents {
  const configuration: Configuration = {
    voters,
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  return {
    hardState: { term: 1, vote: null, commit: base },
    snapshot: { ...placeAt(base), configuration },
    entries: [],
  };
}

async function open({ voters = [ONE, TWO], base = 2 } = {}, sealer = rig.sealer): Promise<Store> {
  const store = { ...rig.options(), sealer };
  opened = await openState({ nodeId: ONE, store, log: logOf(voters, base), logger: silentLogger });
  return opened;
}

async function close(): Promise<void> {
  await opened?.close();
  opened = null;
}

const folder = (...names: string[]): string => join(rig.directory, 'state', ...names);
const found = (): string[] => readdirSync(folder()).sort();

/** LevelDB moves its log into tables when it is opened again. */
async function tables(): Promise<readonly string[]> {
  await open();
  await close();
  return readdirSync(folder('1'))
    .filter((name) => name.endsWith('.ldb'))
    .map((name) => folder('1', name));
}

/** In the middle of a row that counts. */
async function flipBit(): Promise<void> {
  let envelope: Uint8Array = Buffer.alloc(0);
  await changeRows((rows) => {
    envelope = rows.at(-1)?.envelope ?? envelope;
    return [];
  });
  for (const path of await tables()) {
    const bytes = readFileSync(path);
    const start = bytes.indexOf(envelope);
    if (start < 0) continue;
    const at = start + Math.floor(envelope.length / 2);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
    writeFileSync(path, bytes);
    return;
  }
  throw new Error('no table holds the row');
}

async function changeRows(change: (rows: DatabaseRow[]) => readonly DatabaseRow[]): Promise<void> {
  const database = await openLevelDatabase({ path: folder('1'), create: false });
  const snapshot = database.snapshot();
  const rows: DatabaseRow[] = [];
  for await (const portion of snapshot.rows('k')) rows.push(...portion);
  await snapshot.close();
  const batch = database.batch();
  for (const { key, envelope } of change(rows)) batch.put(key, envelope);
  await batch.write();
  await database.close();
}

const FAULTS: readonly { readonly what: string; readonly damage: () => Promise<void> | void }[] = [
  { what: 'a bit flipped in a table of LevelDB', damage: () => flipBit() },
  { what: 'the log of LevelDB emptied', damage: () => emptyLog() },
  { what: 'its CURRENT deleted', damage: () => rmSync(folder('1', 'CURRENT')) },
  { what: 'its MANIFEST deleted', damage: () => removeStarting('MANIFEST') },
  {
    what: 'its tables deleted',
    damage: async () => {
      for (const path of await tables()) rmSync(path);
    },
  },
  { what: 'the folder of the generation deleted', damage: () => rmSync(folder('1'), { recursive: true }) },
  { what: 'the pointer to it deleted', damage: () => rmSync(folder('current')) },
  { what: 'the pointer to it unreadable', damage: () => writeFileSync(folder('current'), 'one\n') },
  { what: 'the whole folder deleted', damage: () => rmSync(folder(), { recursive: true }) },
  {
    what: 'two envelopes swapped',
    damage: () =>
      changeRows(([a, b]) => {
        if (a === undefined || b === undefined) throw new Error('two rows');
        return [
          { key: a.key, envelope: b.envelope },
          { key: b.key, envelope: a.envelope },
        ];
      }),
  },
  {
    what: 'an older ciphertext of the same key put back',
    damage: () =>
      changeRows((rows) => {
        // k0 was written as the first and as the fifth.
        const [older, newer] = [rows[0], rows[4]];
        if (older === undefined || newer === undefined) throw new Error('two versions');
        return [{ key: newer.key, envelope: older.envelope }];
      }),
  },
];

function emptyLog(): void {
  for (const name of readdirSync(folder('1')))
    if (name.endsWith('.log')) writeFileSync(folder('1', name), '');
}

function removeStarting(start: string): void {
  for (const name of readdirSync(folder('1'))) if (name.startsWith(start)) rmSync(folder('1', name));
}

describe('a state on disk', () => {
  it('that is whole is opened', async () => {
    const store = await open();
    expect(store.missing).toBeNull();
    expect(store.get('k0')?.value.toString()).toBe('4 '.repeat(200));
  });

  it.each(FAULTS)('with $what is set aside and rebuilt', async ({ damage }) => {
    await damage();
    const store = await open();
    expect(store.missing).not.toBeNull();
    expect(() => store.get('k0')).toThrow(expect.objectContaining({ code: 'UNAVAILABLE' }));
    expect(() =>
      store.range({ start: '', end: '', limit: 0, keysOnly: true, countOnly: true, revision: 0 }),
    ).toThrow();
    await expect(store.openSnapshot()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(rig.fatal).toEqual([]);
    await close();
    // A restart in between begins again, with the same files set aside.
    const before = found().filter((name) => name.startsWith('damaged'));
    expect((await open()).missing).not.toBeNull();
    expect(found().filter((name) => name.startsWith('damaged'))).toEqual(before);
    expect(before.length).toBeLessThanOrEqual(1);
  });

  it.each(FAULTS)('with $what is refused, and left alone, when nobody else holds it', async ({ damage }) => {
    await damage();
    const before = existsSync(folder()) ? found() : [];
    await expect(open({ voters: [ONE] })).rejects.toMatchObject({
      code: 'STATE_CORRUPT',
      hint: expect.stringContaining('copy'),
    });
    // LevelDB makes a folder that it does not find.
    expect(existsSync(folder()) ? found() : []).toEqual(expect.arrayContaining(before));
  });

  it('is rebuilt when its log names somebody who may hold it, committed or not', async () => {
    rmSync(folder(), { recursive: true, force: true });
    const log = logOf([ONE], 2);
    const change = {
      changes: [{ kind: 'set', nodeId: TWO, role: 'voter' }],
      context: new Uint8Array(0),
    } as const;
    const payload = encodeConfigurationChange(change);
    opened = await openState({
      nodeId: ONE,
      store: rig.options(),
      log: { ...log, entries: [{ ...placeAt(3), type: 'configuration', payload }] },
      logger: silentLogger,
    });
    expect(opened.missing).not.toBeNull();
  });

  it('that ends before its log begins is rebuilt', async () => {
    expect((await open({ base: 8 })).missing).toBeNull();
    await close();
    expect((await open({ base: 9 })).missing).toContain('ends at 8');
  });

  it('is in force again once a snapshot is installed, and what was set aside goes', async () => {
    const source = await StoreRig.create({ sealer: rig.sealer });
    for (let i = 0; i < 9; i += 1) source.run(put(`k${i}`, 'whole'));
    await source.store.flushed();
    rmSync(folder('1', 'CURRENT'));
    const store = await open();
    expect(found()).toEqual(['2', 'current', 'damaged-1']);
    const snapshot = await source.store.openSnapshot();
    await store.installSnapshot({
      rows: snapshot.rows(),
      expected: { ...placeAt(9), configuration: source.store.configuration },
    });
    await snapshot.close();
    expect(store.missing).toBeNull();
    expect(found()).toEqual(['3', 'current']);
    expect(store.digest).toEqual(source.store.digest);
    await close();
    expect((await open()).get('k8')?.value.toString()).toBe('whole');
    await source.destroy();
  });

  it('is never rebuilt for the want of a key', async () => {
    await expect(open({}, sealerOf('on', 99))).rejects.toMatchObject({ code: 'KEY_UNKNOWN' });
    expect(found()).toEqual(['1', 'current']);
  });

  it('is never rebuilt because another process uses it', async () => {
    await open();
    const first = opened;
    await expect(open()).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
    opened = first;
    expect(found()).toEqual(['1', 'current']);
  });
});

describe('a mark', () => {
  it('is left when the running state turns out to be damaged, and the next start rebuilds', async () => {
    await open();
    const fatal: HoldfastError[] = [];
    const options = {
      root: rig.directory,
      logger: silentLogger,
      onFatal: (e: HoldfastError) => fatal.push(e),
    };
    stopForState(new HoldfastError('STATE_CORRUPT', 'row 1.0 of table k\ndoes not open'), options);
    expect(fatal).toHaveLength(1);
    await close();
    expect((await open()).missing).toBe('row 1.0 of table k does not open');
    expect(found()).toEqual(['2', 'current', 'damaged-1']);
  });

  it('is not left by a disk that fails', async () => {
    await open();
    const options = { root: rig.directory, logger: silentLogger, onFatal: () => undefined };
    stopForState(new HoldfastError('DISK_FAILED', 'EIO'), options);
    await close();
    expect((await open()).missing).toBeNull();
  });

  it('lets the only copy prove itself, unless it differs from what others held', async () => {
    markState(rig.directory, { kind: 'damaged', reason: 'a read failed' });
    expect((await open({ voters: [ONE] })).missing).toBeNull();
    await close();
    markState(rig.directory, { kind: 'diverged', reason: 'differs at 7' });
    await expect(open({ voters: [ONE] })).rejects.toMatchObject({
      code: 'STATE_CORRUPT',
      message: expect.stringContaining('differs at 7'),
    });
  });

  it('of a state that differs keeps its files, the newest few, when another one is in force', async () => {
    const source = await StoreRig.create({ sealer: rig.sealer });
    for (let i = 0; i < 9; i += 1) source.run(put(`k${i}`, 'whole'));
    await source.store.flushed();
    const aside: string[][] = [];
    for (let time = 0; time <= LIMITS.divergedStatesKept; time += 1) {
      markState(rig.directory, { kind: 'diverged', reason: 'differs at 7' });
      const store = await open();
      const snapshot = await source.store.openSnapshot();
      await store.installSnapshot({
        rows: snapshot.rows(),
        expected: { ...placeAt(9), configuration: source.store.configuration },
      });
      await snapshot.close();
      await close();
      aside.push(found().filter((name) => name.startsWith('diverged')));
    }
    expect(aside).toEqual([['diverged-1'], ['diverged-1', 'diverged-3'], ['diverged-3', 'diverged-5']]);
    const warnings = await divergedStates(rig.directory);
    expect(warnings()).toHaveLength(2);
    expect(
      (await checkState({ root: rig.directory } as DataDirectory)).map(({ message }) => message),
    ).toEqual(warnings());
    rmSync(folder('diverged-3'), { recursive: true });
    expect(warnings()).toEqual([expect.stringContaining('diverged-5')]);
    await source.destroy();
  });

  it('of a state that differs is enough: it is not asked whether it opens', async () => {
    markState(rig.directory, { kind: 'diverged', reason: 'differs at 7' });
    expect((await open()).missing).toBe('differs at 7');
  });
});
