import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NO_AUDIT_HASH, recordHash } from '../../src/audit/record/chain.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { COMPARE_TARGET, RELATION } from '../../src/proto/storage.ts';
import { openLevelDatabase } from '../../src/store/database.ts';
import { Store } from '../../src/store/store.ts';
import {
  bytes,
  CLIENT,
  codeOf,
  command,
  put,
  read,
  remove,
  StoreRig,
  transaction,
  write,
} from './storeRig.ts';

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
});
afterEach(() => rig.destroy());

describe('what is recorded', () => {
  it('is each name that was put and each deletion that deleted something, of the branch that was taken', async () => {
    rig.run(put('a'), put('b'), put('c/1'), put('c/2'));
    rig.run(remove('none'), remove('a'), remove('c/', 'c0'), put('d'));
    const untrue = {
      key: bytes('a'),
      relation: RELATION.EQUAL,
      target: COMPARE_TARGET.VERSION,
      value: bytes(''),
      number: 7,
    };
    rig.apply(
      command({
        transaction: { compares: [untrue], success: [put('x')], failure: [put('a2'), remove('b', '')] },
      }),
    );
    expect(await rig.deeds()).toEqual([
      'kv.put a',
      'kv.put b',
      'kv.put c/1',
      'kv.put c/2',
      'kv.delete a',
      'kv.delete c/..c0 x2',
      'kv.put d',
      'kv.put a2',
      'kv.delete b..\xff x2',
    ]);
    expect((await rig.auditRecords()).map(({ revision }) => revision)).toEqual([1, 1, 1, 1, 2, 2, 2, 3, 3]);
  });

  it('says who asked, where, when and by which request', async () => {
    const clientId = rig.apply(command({ registerClient: {} }))[0]?.client?.clientId ?? 0;
    const request = { clientId, number: 1, floor: 1 };
    rig.timeMs += 5;
    rig.apply({ ...write([put('a')], request), origin: '00000000000000aa/0102', sequence: 9 });
    const [record] = await rig.auditRecords();
    expect(record).toMatchObject({
      principalKind: 'client',
      principal: 'ada',
      address: '127.0.0.1:1',
      node: '00000000000000aa',
      requestId: `${clientId}.1`,
      timeMs: rig.timeMs,
      index: 2,
      sequence: 1,
    });
  });

  it('is nothing for a request that comes again, and nothing for what changes nothing', async () => {
    const clientId = rig.apply(command({ registerClient: {} }))[0]?.client?.clientId ?? 0;
    const again = write([put('secrets/a', 'x', true)], { clientId, number: 1, floor: 1 });
    rig.apply(again, again);
    rig.run(read('a'));
    rig.apply(
      command({ advanceTime: {} }),
      command({ compact: { revision: 9 } }),
      command({ closeClient: { clientId } }),
    );
    expect(await rig.deeds()).toEqual(['kv.put secrets/a']);
  });

  it('is each secret value that was handed out, as a value, a previous one, or by a compare', async () => {
    rig.run(put('secrets/a', '1'), put('secrets/b', '2'), put('open', '3'));
    rig.run(read('', ''));
    rig.run(put('secrets/a', '4', true), put('secrets/new', '', true), put('open', '', true));
    rig.run(remove('secrets/b', 'secrets/c', true));
    const compare = {
      key: bytes('secrets/a'),
      relation: RELATION.EQUAL,
      target: COMPARE_TARGET.VALUE,
      value: bytes('4'),
      number: 0,
    };
    rig.apply(command({ transaction: { compares: [compare], success: [], failure: [read('secrets/a')] } }));
    const namesOnly = {
      range: { range: { start: bytes(''), end: bytes('') }, limit: 0, keysOnly: true, countOnly: false },
    };
    rig.run(namesOnly);
    expect(await rig.deeds(4)).toEqual([
      'kv.reveal secrets/a',
      'kv.reveal secrets/b',
      'kv.put secrets/a',
      'kv.reveal secrets/a',
      'kv.put secrets/new',
      'kv.put open',
      'kv.delete secrets/b..secrets/c',
      'kv.reveal secrets/b',
      'kv.compare secrets/a',
    ]);
  });

  it.each([
    ['holds', 'known'],
    ['does not hold', 'guess'],
  ])('is a compare with a secret value that %s, though its branch is refused', async (_, guess) => {
    const value = 'x'.repeat(LIMITS.valueBytesMax);
    for (const name of ['big/1', 'big/2', 'big/3', 'big/4', 'big/5']) rig.run(put(name, value));
    rig.run(put('secrets/a', 'known'));
    const isTooLarge = [remove('big/', 'big0', true)];
    const compare = {
      key: bytes('secrets/a'),
      relation: RELATION.EQUAL,
      target: COMPARE_TARGET.VALUE,
      value: bytes(guess),
      number: 0,
    };
    const tried = { compares: [compare], success: isTooLarge, failure: isTooLarge };
    expect(rig.apply(command({ transaction: tried })).map(codeOf)).toEqual(['TOO_LARGE']);
    expect(await rig.deeds(7)).toEqual(['kv.compare secrets/a TOO_LARGE']);
  });

  it('is no compare of a transaction that came to none', async () => {
    rig.run(put('secrets/a', 'known'));
    const compare = {
      key: bytes('secrets/a'),
      relation: RELATION.EQUAL,
      target: COMPARE_TARGET.VALUE,
      value: bytes('guess'),
      number: 0,
    };
    const tried = { compares: [compare], success: [], failure: [] };
    const tooMany = Array.from({ length: LIMITS.transactionOperationsMax + 1 }, () => put('b'));
    const forgotten = { clientId: 9, number: 1, floor: 1 };
    const refused = rig.apply(
      { ...command({ transaction: tried }), request: forgotten },
      command({ transaction: { ...tried, success: tooMany } }),
    );
    expect(refused.map(codeOf)).toEqual(['REQUEST_FORGOTTEN', 'TOO_LARGE']);
    expect(await rig.deeds(2)).toEqual([]);
  });

  it('is each value once, however often one transaction reads it', async () => {
    rig.run(put('secrets/a', '1'), put('secrets/b', '2'));
    rig.run(read('secrets/', 'secrets0'), read('secrets/a'), put('secrets/a', '3', true), read('secrets/a'));
    expect(await rig.deeds(3)).toEqual([
      'kv.reveal secrets/a',
      'kv.reveal secrets/b',
      'kv.put secrets/a',
      'kv.reveal secrets/a',
    ]);
  });

  it('is bounded: the ranges of one transaction give so many values, and say that there are more', () => {
    const names = Array.from({ length: LIMITS.pageKeysMax }, (_, at) => `secrets/${at}`);
    for (let at = 0; at < names.length; at += LIMITS.transactionOperationsMax)
      rig.run(...names.slice(at, at + LIMITS.transactionOperationsMax).map((name) => put(name)));
    const outcome = rig.run(...Array.from({ length: 6 }, () => read('secrets/', 'secrets0')));
    const given = outcome.transaction?.operations.map(({ range }) => [range?.items.length, range?.more]);
    const rest = LIMITS.transactionValuesMax - 4 * LIMITS.pageKeysMax;
    const whole = [LIMITS.pageKeysMax, false];
    expect(given).toEqual([whole, whole, whole, whole, [rest, true], [0, true]]);
  });

  it('is what was denied, and who was not let in', async () => {
    const token = { kind: 'token', name: '00000000000000a1', address: '' };
    expect(rig.apply(command({ transaction: transaction(put('a')) }, token)).map(codeOf)).toEqual([
      'UNAUTHENTICATED',
    ]);
    rig.apply(command({ putPolicy: { policy: { role: 'own', rules: [], admin: [] } } }, token));
    const use = {
      id: 'x',
      secretHash: Buffer.alloc(32),
      nodeId: '00000000000000bb',
      csrKeyHash: Buffer.alloc(32),
    };
    rig.apply(command({ useToken: use }, { kind: 'node', name: '00000000000000aa', address: '' }));
    rig.apply(command({ deletePolicy: { role: 'none' } }));
    expect(await rig.deeds()).toEqual([
      'kv.transaction a UNAUTHENTICATED',
      'policy.put own UNAUTHENTICATED',
      'member.join 00000000000000bb TOKEN_UNKNOWN',
    ]);
  });

  it('never holds a value', async () => {
    rig.run(put('secrets/a', 'the-value'));
    rig.run(put('secrets/a', 'another', true), read('secrets/a'));
    const said = JSON.stringify(
      (await rig.auditRecords()).map((record) => ({ ...record, resource: String(record.resource) })),
    );
    expect(said).toContain('secrets/a');
    for (const value of ['the-value', 'another']) expect(said).not.toContain(value);
  });
});

describe('the chain of records', () => {
  it('has no gap, each hash over the one before it, and goes on after a restart', async () => {
    for (let i = 0; i < 100; i += 1) rig.run(put(`a${i}`), put(`b${i}`));
    await rig.reopen();
    rig.run(put('last'));
    const all = await rig.auditRecords();
    expect(all.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 201 }, (_, i) => i + 1));
    let previousHash = NO_AUDIT_HASH;
    for (const record of all) {
      expect(record.previousHash).toEqual(previousHash);
      expect(recordHash(record, record)).toEqual(record.hash);
      previousHash = record.hash;
    }
    expect(rig.store.audit.head).toEqual({ sequence: 201, hash: previousHash });
  });

  it('is read from a sequence or a time on', async () => {
    for (let i = 0; i < 5; i += 1) {
      rig.run(put('a'), put('b'));
      rig.timeMs += 1_000;
    }
    expect((await rig.auditRecords(4)).map(({ sequence }) => sequence)).toEqual([4, 5, 6, 7, 8, 9, 10]);
    expect((await rig.auditRecords(0, rig.timeMs - 2_000)).map(({ sequence }) => sequence)).toEqual([
      7, 8, 9, 10,
    ]);
    expect((await rig.auditRecords(10, rig.timeMs - 4_000)).map(({ sequence }) => sequence)).toEqual([10]);
    expect([await rig.auditRecords(11), await rig.auditRecords(0, rig.timeMs)]).toEqual([[], []]);
  });

  it('parts the records of a large entry into rows', async () => {
    const name = 'n'.repeat(LIMITS.keyBytesMax - 8);
    const puts = (part: number) => Array.from({ length: 100 }, (_, i) => put(`${name}${part}-${i}`));
    rig.apply(...Array.from({ length: 20 }, (_, part) => write(puts(part))));
    const all = await rig.auditRecords();
    expect(all).toHaveLength(2_000);
    expect(new Set(all.map(({ index }) => index)).size).toBe(1);
    const { digest } = rig.store;
    await rig.reopen();
    expect(rig.store.digest).toEqual(digest);
    expect(rig.store.audit.head.sequence).toBe(2_000);
  });

  it.each([
    ['the first row', 0],
    ['a row in the middle', 2],
    ['the last row', 4],
  ])('does not open without %s', async (_what, at) => {
    for (let i = 0; i < 5; i += 1) rig.run(put('a'));
    await rig.store.close();
    const path = `${rig.directory}/state/1`;
    const database = await openLevelDatabase({ path, create: false });
    const snapshot = database.snapshot();
    const keys: Buffer[] = [];
    for await (const portion of snapshot.rows('l')) keys.push(...portion.map(({ key }) => key));
    await snapshot.close();
    const batch = database.batch();
    batch.del(keys[at] as Buffer);
    await batch.write();
    await database.close();
    await expect(Store.open(rig.options())).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
    // For afterEach.
    rig = await StoreRig.create();
  });

  it('is the same wherever the same was applied', async () => {
    const other = await StoreRig.create({ sealer: rig.sealer });
    for (const of of [rig, other]) {
      of.apply(command({ transaction: transaction(put('a'), put('secrets/b', 'x', true)) }, CLIENT));
      of.run(remove('a'), read('secrets/b'));
    }
    expect(other.store.audit.head).toEqual(rig.store.audit.head);
    expect(other.store.audit.head.sequence).toBe(4);
    await other.destroy();
  });
});
