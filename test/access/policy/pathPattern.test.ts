import { describe, expect, it } from 'vitest';
import { parsePathPattern } from '../../../src/access/policy/pathPattern.ts';
import { LIMITS } from '../../../src/base/limits.ts';

const segments = (text: string) =>
  parsePathPattern(text, 'path').segments.map((segment) =>
    segment.kind === 'literal' ? segment.text : segment.kind,
  );

describe('a pattern of names', () => {
  it.each<[string, readonly string[]]>([
    ['a', ['a']],
    ['prod/db/password', ['prod', 'db', 'password']],
    ['prod/*/password', ['prod', 'any', 'password']],
    ['prod/**', ['prod', 'rest']],
    ['**', ['rest']],
    ['*', ['any']],
    ['/', ['', '']],
    ['a//b', ['a', '', 'b']],
    ['__proto__/constructor', ['__proto__', 'constructor']],
    // Names are bytes: what is written in UTF-8 is compared as such.
    ['schlüssel', ['schlÃ¼ssel']],
  ])('%s', (text, expected) => {
    expect(segments(text)).toEqual(expected);
    expect(parsePathPattern(text, 'path').text).toBe(text);
  });

  it.each<[string, string]>([
    ['', 'is empty'],
    ['a/**/b', 'has ** before its end'],
    ['**/', 'has ** before its end'],
    ['a*', 'has * beside other characters'],
    ['a/b*c/d', 'has * beside other characters'],
    ['***', 'has * beside other characters'],
    ['x'.repeat(LIMITS.keyBytesMax + 1), `has more than ${LIMITS.keyBytesMax} bytes`],
    ['ü'.repeat(LIMITS.keyBytesMax / 2 + 1), `has more than ${LIMITS.keyBytesMax} bytes`],
    ['/'.repeat(LIMITS.patternSegmentsMax), `has more than ${LIMITS.patternSegmentsMax} segments`],
  ])('%s is refused', (text, what) => {
    expect(() => parsePathPattern(text, 'rules[3].path')).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        field: 'rules[3].path',
        message: `the pattern ${what}`,
        hint: expect.any(String),
      }),
    );
  });

  it('may be as long as a name', () => {
    expect(segments('x'.repeat(LIMITS.keyBytesMax))).toHaveLength(1);
    expect(segments('/'.repeat(LIMITS.patternSegmentsMax - 1))).toHaveLength(LIMITS.patternSegmentsMax);
  });
});
