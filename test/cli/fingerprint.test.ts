import { expect, it } from 'vitest';
import { parseFingerprint } from '../../src/cli/arguments.ts';

const DIGITS = '0b8a'.repeat(16);

it.each([
  ['as it is shown', `sha256:${DIGITS}`],
  ['without what it is of', DIGITS],
  ['as openssl writes it', DIGITS.toUpperCase().replaceAll(/(..)(?=.)/g, '$1:')],
])('the fingerprint of a CA is understood %s', (_, text) => {
  expect(parseFingerprint(text, 'ca-fingerprint')).toBe(`sha256:${DIGITS}`);
});

it.each(['', 'sha256:', 'sha256:123', `sha256:${DIGITS}0`, `sha1:${DIGITS}`, `${DIGITS.slice(1)}g`])(
  'what is none is told from another CA: %s',
  (text) => {
    expect(() => parseFingerprint(text, 'ca-fingerprint')).toThrow(
      expect.objectContaining({ code: 'USAGE', field: 'ca-fingerprint' }) as Error,
    );
  },
);
