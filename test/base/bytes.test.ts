import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readU64, writeU64 } from '../../src/base/bytes.ts';

describe('64-bit integers', () => {
  it('are what a buffer makes of them, and come back', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(8), (value, offset) => {
        const target = Buffer.alloc(17, 0xaa);
        const expected = Buffer.from(target);
        expected.writeBigUInt64BE(BigInt(value), offset);
        writeU64(target, value, offset);
        expect(target).toEqual(expected);
        expect(readU64(target, offset)).toBe(value);
      }),
    );
  });

  it.each([1, 9, -1])('are not written past the end (%d)', (offset) => {
    const target = Buffer.alloc(8);
    expect(() => writeU64(target, 1, offset)).toThrow(RangeError);
    expect(target).toEqual(Buffer.alloc(8));
  });
});
