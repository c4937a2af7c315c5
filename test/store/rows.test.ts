import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recordRowCodec } from '../../src/proto/storage.ts';
import { encodeRecord, recordValue } from '../../src/store/recordRow.ts';
import {
  encodeRow,
  newRow,
  parseRowKey,
  plaintextOf,
  type Row,
  type RowPlace,
  rowKey,
} from '../../src/store/row.ts';
import { TABLE_SEALING } from '../../src/store/rowCodecs.ts';
import { RowSealer } from '../../src/store/rowSealer.ts';
import { StateDigest } from '../../src/store/stateDigest.ts';
import { ValueCache } from '../../src/store/valueCache.ts';
import { sealerOf } from './storeRig.ts';

const PLACE: RowPlace = { table: 'k', number: 2 ** 40 + 7, sub: 3 };
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });

describe('records as rows', () => {
  it('are what the codec makes of them', () => {
    const numbers = fc.record({ createRevision: count, version: count, deleted: fc.boolean() });
    const key = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 20 })
      .map((text) => Buffer.from(text).toString('latin1'));
    fc.assert(
      fc.property(key, fc.uint8Array({ maxLength: 6000 }), count, numbers, (key, value, timeMs, given) => {
        const row = encodeRecord({ key, value, timeMs, revision: PLACE.number, sub: PLACE.sub }, given);
        const plaintext = recordRowCodec.encode({ key: Buffer.from(key, 'latin1'), value, timeMs, ...given });
        expect(row).toEqual(encodeRow(PLACE, plaintext));
        expect(recordValue(row)).toEqual(Buffer.from(value));
      }),
      { numRuns: 200 },
    );
  });

  it('have keys that sort as their places do', () => {
    const places: RowPlace[] = [
      { table: 'a', number: 9, sub: 9 },
      { table: 'k', number: 1, sub: 0 },
      { table: 'k', number: 1, sub: 1 },
      { table: 'k', number: 255, sub: 0 },
      { table: 'k', number: 2 ** 32, sub: 0 },
      PLACE,
      { table: 'x', number: 0, sub: 0 },
    ];
    const keys = places.map(rowKey);
    expect([...keys].sort((a, b) => Buffer.compare(a, b))).toEqual(keys);
    expect(keys.map(parseRowKey)).toEqual(places);
    expect(() => parseRowKey(Buffer.from('z123456789012'))).toThrow(/unknown key/);
    expect(() => parseRowKey(rowKey(PLACE).subarray(1))).toThrow(/unknown key/);
  });
});

describe('sealed rows', () => {
  const record = encodeRecord(
    {
      key: 'app/naïve',
      value: Buffer.from([0xff, 0xfe]),
      timeMs: 12,
      revision: PLACE.number,
      sub: PLACE.sub,
    },
    { createRevision: 4, version: 1, deleted: false },
  );

  it.each(['on', 'off'] as const)('open as they were, with the toggle %s', (toggle) => {
    const sealer = new RowSealer(sealerOf(toggle));
    expect(sealer.open(PLACE, sealer.seal(PLACE, record))).toEqual(plaintextOf(record));
  });

  it('are readable with the toggle off, and not otherwise', () => {
    const readable = new RowSealer(sealerOf('off')).seal(PLACE, record).toString('latin1');
    const utf8 = encodeRecord(
      { key: 'app/x', value: Buffer.from('hello'), timeMs: 12, revision: 1, sub: 0 },
      { createRevision: 1, version: 1, deleted: false },
    );
    const plain = new RowSealer(sealerOf('off'))
      .seal({ ...PLACE, number: 1, sub: 0 }, utf8)
      .toString('latin1');
    expect(plain).toContain(
      '{"key":"app/x","value":"hello","createRevision":1,"version":1,"deleted":false,"timeMs":12}',
    );
    expect(readable).toContain('"valueBase64":"//4="');
    expect(new RowSealer(sealerOf('on')).seal(PLACE, utf8).toString('latin1')).not.toContain('hello');
  });

  it('of the authority are never readable', () => {
    expect(TABLE_SEALING.s.purpose).toBe('trust');
  });

  it('do not open in another place', () => {
    const sealer = new RowSealer(sealerOf());
    const envelope = sealer.seal(PLACE, record);
    for (const place of [
      { ...PLACE, sub: 4 },
      { ...PLACE, number: 1 },
      { ...PLACE, table: 't' as const },
    ]) {
      expect(() => sealer.open(place, envelope)).toThrow(
        expect.objectContaining({ code: 'ENVELOPE_UNREADABLE' }),
      );
    }
  });

  it('take any bytes through their readable form and back', () => {
    const { codec } = TABLE_SEALING.k;
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), count, (key, value, timeMs) => {
        const plaintext = recordRowCodec.encode({
          key,
          value,
          createRevision: 0,
          version: 1,
          deleted: true,
          timeMs,
        });
        expect(codec.fromJson(JSON.parse(JSON.stringify(codec.toJson(plaintext))))).toEqual(plaintext);
      }),
    );
    expect(() => codec.fromJson({ key: 5 })).toThrow(TypeError);
    expect(() => codec.fromJson({ keyBase64: '*' })).toThrow(TypeError);
  });
});

describe('the state digest', () => {
  const row = (sub: number) => newRow({ ...PLACE, sub }, Buffer.from([sub])).digest;

  it('does not depend on the order, and forgets what is taken away', () => {
    const [one, other] = [new StateDigest(), new StateDigest()];
    for (const sub of [1, 2, 3, 4]) one.add(row(sub));
    for (const sub of [4, 2, 9, 1, 3]) other.add(row(sub));
    expect(one.bytes()).not.toEqual(other.bytes());
    other.subtract(row(9));
    expect(one.bytes()).toEqual(other.bytes());
    for (const sub of [1, 2, 3, 4]) one.subtract(row(sub));
    expect(one.bytes()).toEqual(Buffer.alloc(32));
  });

  it('depends on place and content', () => {
    const digests = [
      row(1),
      newRow(PLACE, Buffer.from([1])).digest,
      newRow({ ...PLACE, sub: 1 }, Buffer.from([2])).digest,
    ];
    expect(new Set(digests).size).toBe(3);
  });
});

describe('the value cache', () => {
  it('stays within its bytes, the least recently used going first', () => {
    const rows = [1, 2, 3].map((sub) => newRow({ ...PLACE, sub }, Buffer.alloc(87)));
    const [first, second, third] = rows as [(typeof rows)[0], (typeof rows)[0], (typeof rows)[0]];
    const cache = new ValueCache(200);
    cache.add(first);
    cache.add(second);
    expect(() => cache.add(second)).toThrow('a row is in the cache once');
    cache.touch(first);
    cache.add(third);
    expect(cache.bytes).toBe(200);
    expect(second.encoded).toBeNull();
    expect(first.encoded?.buffer.byteLength).toBe(100);
    cache.remove(first);
    expect([cache.bytes, first.encoded]).toEqual([100, null]);
  });

  it('forgets in the order in which rows were used last, whatever went in between', () => {
    const choice = fc.record({ what: fc.constantFrom('add', 'touch', 'remove'), which: fc.nat() });
    fc.assert(
      fc.property(fc.array(choice, { maxLength: 300 }), (choices) => {
        const cache = new ValueCache(1_000);
        // Oldest first: what the cache is to hold.
        let held: Row[] = [];
        for (const { what, which } of choices) {
          const row = held[which % Math.max(held.length, 1)];
          if (what === 'add' || row === undefined) {
            const added = newRow(PLACE, Buffer.alloc(87));
            held = [...held, added].slice(-10);
            cache.add(added);
          } else {
            held = held.filter((one) => one !== row);
            if (what === 'touch') held.push(row);
            cache[what](row);
          }
          expect(cache.bytes).toBe(100 * held.length);
          expect(held.every(({ encoded }) => encoded !== null)).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });
});
