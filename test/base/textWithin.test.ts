import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { textWithin } from '../../src/base/textWithin.ts';

describe('a text within so many bytes', () => {
  it.each([
    ['abc', 3, 'abc'],
    ['abc', 2, 'ab'],
    ['üü', 3, 'ü'],
    ['a€', 3, 'a'],
    ['a\u{1f600}b', 4, 'a'],
    ['a\u{1f600}b', 5, 'a\u{1f600}'],
    ['€', 2, ''],
    ['', 0, ''],
    ['a', 0, ''],
  ])('of %j, %d: %j', (text, bytesMax, expected) => {
    expect(textWithin(text, bytesMax)).toBe(expected);
  });

  it('is the longest beginning that ends with a character', () => {
    const property = fc.property(
      fc.string({ unit: 'grapheme', maxLength: 40 }),
      fc.nat(60),
      (text, bytesMax) => {
        const cut = textWithin(text, bytesMax);
        expect(text.startsWith(cut)).toBe(true);
        expect(Buffer.from(cut).toString()).toBe(cut);
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(bytesMax);
        const [next = ''] = text.slice(cut.length);
        const after = String.fromCodePoint(text.codePointAt(cut.length) ?? 0);
        if (next !== '') expect(Buffer.byteLength(cut + after)).toBeGreaterThan(bytesMax);
      },
    );
    fc.assert(property);
  });
});
