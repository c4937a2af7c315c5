import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesFromKey, inRange, isOneKey, keyAfter, keyFromBytes } from '../../src/command/keys.ts';

const key = fc.uint8Array({ minLength: 0, maxLength: 8 });

describe('keys as strings', () => {
  it('keeps every byte and the order of the bytes', () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(bytesFromKey(keyFromBytes(a))).toEqual(Buffer.from(a));
        const [left, right] = [keyFromBytes(a), keyFromBytes(b)];
        expect(Math.sign(Buffer.compare(a, b))).toBe(Number(left > right) - Number(left < right));
      }),
    );
  });

  it('the range up to keyAfter holds one key', () => {
    const range = { start: 'a', end: keyAfter('a') };
    expect(['a', 'a\0', 'b', ''].map((one) => inRange(one, range))).toEqual([true, false, false, false]);
  });

  it('a range of one key is told from every other, also of the empty key that nobody has written out', () => {
    fc.assert(
      fc.property(key, key, (start, end) => {
        const isOne = keyFromBytes(end) === keyAfter(keyFromBytes(start));
        expect(isOneKey({ start, end })).toBe(isOne);
        expect(isOneKey({ start, end: bytesFromKey(keyAfter(keyFromBytes(start))) })).toBe(true);
      }),
    );
    const unset = [] as unknown as Uint8Array;
    expect([
      isOneKey({ start: unset, end: Buffer.from([0]) }),
      isOneKey({ start: unset, end: unset }),
    ]).toEqual([true, false]);
  });
});
