import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { SeededRandom } from '../../src/base/random.ts';
import {
  withNewActiveKey,
  withoutLegacyKeys,
  withoutReadable,
  withToggle,
} from '../../src/envelope/keyring.ts';
import type { DatabaseRow } from '../../src/store/database.ts';
import { codeOf, command, put, remove, StoreRig, transaction } from './storeRig.ts';

const ROWS = 700;
const always = (): Promise<boolean> => Promise.resolve(true);
const sources = { random: new SeededRandom(5), clock: new ManualClock() };

let rig: StoreRig;
let oldKeyId: string;
beforeEach(async () => {
  rig = await StoreRig.create({ cacheBytesMax: 0 });
  for (let i = 0; i < ROWS; i += 1) rig.run(put(`k${i}`, `${i} `.repeat(50)));
  await rig.reopen();
  oldKeyId = rig.sealer.keyring.active.id;
});
afterEach(async () => {
  expect(rig.fatal).toEqual([]);
  await rig.destroy();
});

function rotate(): void {
  rig.sealer.setKeyring(withNewActiveKey(rig.sealer.keyring, sources));
}

/** Envelopes in the files of the state that say they are under this key. */
function foundOnDisk(keyId: string): number {
  const folder = join(rig.directory, 'state', '1');
  const wanted = Buffer.from(keyId, 'hex').toString('latin1');
  const contents = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'latin1'));
  return contents.join('\0').split(wanted).length - 1;
}

describe('sealing a state anew', () => {
  it('leaves no envelope under the old key in any file, and the same state', async () => {
    const { digest } = rig.store;
    rotate();
    expect(foundOnDisk(oldKeyId)).toBeGreaterThan(ROWS);
    // All rows, what is recorded of each, and the head.
    expect(await rig.store.rewrite(always)).toEqual({ rewritten: 2 * ROWS + 1, whole: true });
    expect(foundOnDisk(oldKeyId)).toBe(0);
    expect(await rig.store.rewrite(always)).toEqual({ rewritten: 0, whole: true });
    rig.sealer.setKeyring(withoutLegacyKeys(rig.sealer.keyring));
    await rig.reopen();
    expect(rig.store.digest).toEqual(digest);
    expect(rig.store.get('k5')?.value.toString()).toBe('5 '.repeat(50));
  });

  it('leaves none of policies, access tokens and users either', async () => {
    const rules = [{ path: 'k1', capabilities: ['write'] }];
    rig.apply(command({ putPolicy: { policy: { role: 'own', rules, admin: [] } } }));
    const create = {
      id: '00000000000000a1',
      secretHash: Buffer.alloc(32),
      description: '',
      roles: ['own'],
      ttlMs: 0,
    };
    rig.apply(command({ createAccessToken: create }));
    rig.apply(command({ createUser: { name: 'ada', passwordHash: '$x', roles: ['own'] } }));
    await rig.store.flushed();
    rotate();
    expect(await rig.store.rewrite(always)).toMatchObject({ rewritten: 2 * (ROWS + 3) + 1, whole: true });
    expect(foundOnDisk(oldKeyId)).toBe(0);
    rig.sealer.setKeyring(withoutLegacyKeys(rig.sealer.keyring));
    await rig.reopen();
    const byToken = command(
      { transaction: transaction(put('k1'), put('k2')) },
      { kind: 'token', name: create.id, address: '' },
    );
    expect(rig.apply(byToken).map(codeOf)).toEqual(['PERMISSION_DENIED']);
    expect(rig.store.access.tokens).toHaveLength(1);
    expect(rig.store.access.users.get('ada')).toMatchObject({ passwordHash: '$x', roles: ['own'] });
  });

  it('keeps rows apart that together, or each alone, are more than a batch', async () => {
    const large = (i: number): string => `${i} `.repeat(i === 39 ? 200_000 : 10_000);
    for (let i = 0; i < 40; i += 1) rig.run(put(`large${i}`, large(i)));
    await rig.store.flushed();
    const { digest } = rig.store;
    rotate();
    expect((await rig.store.rewrite(always))?.rewritten).toBe(2 * (ROWS + 40) + 1);
    rig.sealer.setKeyring(withoutLegacyKeys(rig.sealer.keyring));
    await rig.reopen();
    expect(rig.store.digest).toEqual(digest);
    for (const i of [0, 20, 39]) expect(rig.store.get(`large${i}`)?.value.toString()).toBe(large(i));
  });

  it('leaves out what was overwritten without going through the rows', async () => {
    rotate();
    for (let i = 0; i < ROWS; i += 1) rig.run(put(`k${i}`, 'another'));
    await rig.store.flushed();
    const before = foundOnDisk(oldKeyId);
    expect(await rig.store.compactFiles(() => Promise.resolve(false))).toEqual({
      rewritten: 0,
      whole: false,
    });
    expect(foundOnDisk(oldKeyId)).toBe(before);
    expect(await rig.store.compactFiles(always)).toEqual({ rewritten: 0, whole: true });
    expect(foundOnDisk(oldKeyId)).toBeLessThan(before);
  });

  it('goes on beside writes, and brings nothing back that was deleted meanwhile', async () => {
    rotate();
    let portions = 0;
    const pace = (): Promise<boolean> => {
      // What the next portions hold, on disk and in the snapshot that is read, goes now.
      const from = ROWS - 1 - portions * 7;
      for (let i = from; i > from - 7; i -= 1) rig.run(remove(`k${i}`));
      rig.run(put(`new${portions}`, 'x'));
      portions += 1;
      return rig.store.flushed().then(always);
    };
    rig.apply({ origin: '', sequence: 0, principal: null, compact: { revision: 1 } });
    const result = await rig.store.rewrite(pace);
    expect(result?.whole).toBe(true);
    expect(portions).toBeGreaterThan(2);
    await rig.store.flushed();
    await rig.store.rewrite(always);
    expect(foundOnDisk(oldKeyId)).toBe(0);
    rig.sealer.setKeyring(withoutLegacyKeys(rig.sealer.keyring));
    // The digest of all rows on disk is the one that was kept: none too many, none missing.
    await rig.reopen();
    expect(rig.store.get('new0')?.value.toString()).toBe('x');
    expect(rig.store.get(`k${ROWS - 1}`)).toBeNull();
  });

  it('seals again what lay readable, and the other way round', async () => {
    for (const toggle of ['off', 'on'] as const) {
      rig.sealer.setKeyring(withToggle(rig.sealer.keyring, toggle));
      await rig.store.rewrite(always);
      const folder = join(rig.directory, 'state', '1');
      const text = readdirSync(folder)
        .map((name) => readFileSync(join(folder, name), 'latin1'))
        .join('');
      expect(text.includes('"key":"k5"')).toBe(toggle === 'off');
    }
    rig.sealer.setKeyring(withoutReadable(rig.sealer.keyring));
    await rig.reopen();
    expect(rig.store.get('k5')?.value.toString()).toBe('5 '.repeat(50));
  });

  it('ends early when it is told to, and goes on where it was', async () => {
    rotate();
    let portions = 0;
    const first = await rig.store.rewrite(() => {
      portions += 1;
      return Promise.resolve(portions < 2);
    });
    expect(first?.whole).toBe(false);
    const second = await rig.store.rewrite(always);
    expect((first?.rewritten ?? 0) + (second?.rewritten ?? 0)).toBe(2 * ROWS + 1);
  });
});

describe('a state that another node has not sealed anew yet', () => {
  it('is sealed anew as it is installed, so that it opens when the old key is gone', async () => {
    const snapshot = await rig.store.openSnapshot();
    const portions: (readonly DatabaseRow[])[] = [];
    for await (const portion of snapshot.rows()) portions.push(portion);
    await snapshot.close();
    const { digest } = rig.store;
    const place = { index: snapshot.head.index, term: 1, hash: Buffer.from(snapshot.head.hash) };
    const target = await StoreRig.create({ sealer: rig.sealer });
    try {
      // The node that installs has the new key, and has told the others that it has nothing left under the old one.
      rotate();
      async function* rows(): AsyncIterable<readonly DatabaseRow[]> {
        yield* portions;
      }
      const expected = { ...place, configuration: rig.store.configuration };
      await target.store.installSnapshot({ rows: rows(), expected });
      rig.sealer.setKeyring(withoutLegacyKeys(rig.sealer.keyring));
      await target.reopen();
      expect(target.store.digest).toEqual(digest);
      expect(target.store.get('k5')?.value.toString()).toBe('5 '.repeat(50));
    } finally {
      await target.destroy();
    }
  });
});
