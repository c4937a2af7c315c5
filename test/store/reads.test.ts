import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { keyFromBytes } from '../../src/command/keys.ts';
import { COMPARE_TARGET, type Compare, RELATION } from '../../src/proto/storage.ts';
import { decodePageToken, encodePageToken } from '../../src/store/pageToken.ts';
import { bytes, codeOf, command, put, read, remove, StoreRig } from './storeRig.ts';

const ALL = { start: '', end: '', limit: 0, keysOnly: false, countOnly: false, revision: 0 };

describe('pages', () => {
  let rig: StoreRig;
  const name = (position: number) => `k${String(position).padStart(5, '0')}`;
  const keys = LIMITS.pageKeysMax + 5;

  beforeAll(async () => {
    rig = await StoreRig.create();
    for (let from = 0; from < keys; from += 100) {
      const size = Math.min(100, keys - from);
      rig.run(...Array.from({ length: size }, (_, position) => put(name(from + position), 'v')));
    }
  });
  afterAll(() => rig.destroy());

  it('have a thousand keys at most, and say where the next begins', () => {
    const first = rig.store.range(ALL);
    expect([first.items.length, first.count, first.next]).toEqual([
      LIMITS.pageKeysMax,
      keys,
      name(LIMITS.pageKeysMax),
    ]);
    const second = rig.store.range({ ...ALL, from: first.next ?? '', count: first.count });
    expect([second.items.length, second.count, second.next]).toEqual([5, keys, null]);
    expect(keyFromBytes(second.items[0]?.key ?? bytes(''))).toBe(name(LIMITS.pageKeysMax));
  });

  it.each([
    [1, 1],
    [999, 999],
    [1000, 1000],
    [0, 1000],
  ])('with the limit %i have %i keys', (limit, items) => {
    expect(rig.store.range({ ...ALL, limit }).items).toHaveLength(items);
  });

  it('end with the range, without a next page', () => {
    const page = rig.store.range({ ...ALL, start: name(3), end: name(6), limit: 3 });
    expect([page.items.length, page.count, page.next]).toEqual([3, 3, null]);
  });

  it('can be only counted, or be without values', () => {
    expect(rig.store.range({ ...ALL, countOnly: true })).toEqual({
      items: [],
      count: keys,
      next: null,
      visited: keys,
    });
    expect(rig.store.range({ ...ALL, keysOnly: true, limit: 1 }).items[0]?.value).toHaveLength(0);
  });

  it('show the revision they began at', () => {
    const { revision } = rig.store;
    rig.run(remove(name(0), name(1000)));
    expect(rig.store.range({ ...ALL, revision }).count).toBe(keys);
    expect(rig.store.range(ALL).count).toBe(5);
  });
});

describe('page tokens', () => {
  const range = { start: 'a', end: 'c' };
  const token = encodePageToken({ revision: 7, count: 9, next: 'b\xff' }, range);

  it('give back what was put in', () => {
    expect(decodePageToken(token, range)).toEqual({ revision: 7, count: 9, next: 'b\xff' });
  });

  it.each([
    ['for another range', token, { start: 'a', end: 'd' }],
    ['for a range whose bounds join to the same', token, { start: 'ac', end: '' }],
    ['empty', Buffer.alloc(0), range],
    ['cut', token.subarray(0, 25), range],
    ['of another version', Buffer.concat([Buffer.from([2]), token.subarray(1)]), range],
    ['with a key outside', encodePageToken({ revision: 7, count: 9, next: 'd' }, range), range],
    ['with revision 0', encodePageToken({ revision: 0, count: 9, next: 'b' }, range), range],
    [
      'with a huge revision',
      Buffer.concat([token.subarray(0, 1), Buffer.alloc(8, 0xff), token.subarray(9)]),
      range,
    ],
    [
      'with a key that is too long',
      encodePageToken({ revision: 7, count: 9, next: 'b'.repeat(1025) }, range),
      range,
    ],
  ])('are refused when they are %s', (_what, bytes, asked) => {
    expect(() => decodePageToken(bytes, asked)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

describe('large values', () => {
  let rig: StoreRig;
  beforeAll(async () => {
    rig = await StoreRig.create();
    const value = 'x'.repeat(LIMITS.valueBytesMax);
    for (const key of ['a', 'b', 'c']) rig.run(put(key, value));
  });
  afterAll(() => rig.destroy());

  it('fill a page', () => {
    const page = rig.store.range(ALL);
    expect([page.items.length, page.next, page.count]).toEqual([1, 'b', 3]);
    expect(rig.store.range({ ...ALL, keysOnly: true }).items).toHaveLength(3);
  });

  it('share one page over all reads of a transaction', () => {
    const outcome = rig.run(read('a'), read('b'), read('c')).transaction;
    expect(outcome?.operations.map(({ range }) => [range?.items.length, range?.more, range?.count])).toEqual([
      [1, false, 1],
      [0, true, 1],
      [0, true, 1],
    ]);
  });

  it('are not given back as previous values beyond a page', () => {
    const { revision } = rig.store;
    expect(codeOf(rig.run(remove('a', '', true)))).toBe('TOO_LARGE');
    expect(rig.store.revision).toBe(revision);
    expect(rig.run(remove('a', 'b', true)).transaction?.operations[0]?.delete?.previous).toHaveLength(1);
  });

  it('one byte over the limit are refused at apply too', () => {
    expect(codeOf(rig.run(put('d', 'x'.repeat(LIMITS.valueBytesMax + 1))))).toBe('TOO_LARGE');
    expect(rig.store.get('d')).toBeNull();
  });
});

describe('compares', () => {
  let rig: StoreRig;
  beforeAll(async () => {
    rig = await StoreRig.create();
    rig.run(put('there', 'm'));
    rig.run(put('there', 'n'));
    rig.run(put('empty', ''));
  });
  afterAll(() => rig.destroy());

  const T = COMPARE_TARGET;
  const R = RELATION;
  const compare = (key: string, target: number, relation: number, operand: string | number): Compare => ({
    key: bytes(key),
    relation,
    target,
    value: bytes(typeof operand === 'string' ? operand : ''),
    number: typeof operand === 'number' ? operand : 0,
  });

  it.each([
    [compare('there', T.VALUE, R.EQUAL, 'n'), true],
    [compare('there', T.VALUE, R.EQUAL, 'm'), false],
    [compare('there', T.VALUE, R.GREATER, 'm'), true],
    [compare('there', T.VALUE, R.LESS, 'n'), false],
    [compare('there', T.VALUE, R.NOT_EQUAL, 'm'), true],
    [compare('there', T.VERSION, R.EQUAL, 2), true],
    [compare('there', T.CREATE_REVISION, R.EQUAL, 1), true],
    [compare('there', T.MOD_REVISION, R.EQUAL, 2), true],
    [compare('there', T.MOD_REVISION, R.GREATER, 2), false],
    [compare('there', T.MOD_REVISION, R.LESS, 3), true],
    [compare('empty', T.VALUE, R.EQUAL, ''), true],
    [compare('missing', T.VALUE, R.EQUAL, ''), false],
    [compare('missing', T.VALUE, R.NOT_EQUAL, ''), true],
    [compare('missing', T.VALUE, R.LESS, 'z'), false],
    [compare('missing', T.VALUE, R.GREATER, ''), false],
    [compare('missing', T.VERSION, R.EQUAL, 0), true],
    [compare('missing', T.CREATE_REVISION, R.EQUAL, 0), true],
    [compare('missing', T.MOD_REVISION, R.LESS, 1), true],
  ])('%#: holds: %s', (given, holds) => {
    const transaction = { compares: [given], success: [read('there')], failure: [] };
    const outcome = rig.apply(command({ transaction }))[0]?.transaction;
    expect([outcome?.succeeded, outcome?.operations.length]).toEqual([holds, holds ? 1 : 0]);
  });

  it('must all hold', () => {
    const compares = [compare('there', T.VERSION, R.EQUAL, 2), compare('missing', T.VERSION, R.EQUAL, 1)];
    const transaction = { compares, success: [put('won', '')], failure: [put('lost', '')] };
    expect(rig.apply(command({ transaction }))[0]?.transaction?.succeeded).toBe(false);
    expect([rig.store.get('won'), rig.store.get('lost') === null]).toEqual([null, false]);
  });
});

describe('many keys at once', () => {
  it('are gone over up to the limit, beyond it nothing is changed', async () => {
    const rig = await StoreRig.create();
    try {
      const keys = 500;
      for (let from = 0; from < keys; from += 125) {
        rig.run(...Array.from({ length: 125 }, (_, position) => put(`k${from + position}`)));
      }
      const within = Array.from({ length: LIMITS.transactionVisitsMax / keys - 1 }, () => read('', ''));
      expect(rig.run(...within, put('x')).failure).toBeFalsy();
      const beyond = [...within, read('', '')];
      expect(codeOf(rig.run(put('y'), ...beyond))).toBe('TOO_LARGE');
      expect(rig.store.get('y')).toBeNull();
      expect(rig.store.size.liveKeys).toBe(keys + 1);
    } finally {
      await rig.destroy();
    }
  });

  it('are deleted up to the limit, beyond it none', async () => {
    const rig = await StoreRig.create();
    try {
      const most = LIMITS.transactionRecordsMax;
      for (let from = 0; from <= most; from += 128) {
        const size = Math.min(128, most + 1 - from);
        rig.run(...Array.from({ length: size }, (_, position) => put(`k${from + position}`)));
      }
      expect(codeOf(rig.run(remove('', '')))).toBe('TOO_LARGE');
      expect(rig.store.size.liveKeys).toBe(most + 1);
      rig.run(remove('k0'));
      expect(rig.run(remove('', '')).transaction?.operations[0]?.delete?.deleted).toBe(most);
      await rig.reopen();
      expect(rig.store.size.liveKeys).toBe(0);
    } finally {
      await rig.destroy();
    }
  });
});
