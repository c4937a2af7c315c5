import { describe, expect, it } from 'vitest';
import { createAccessToken, isSecretOf, parseAccessToken } from '../../src/access/accessToken.ts';
import { SeededRandom } from '../../src/base/random.ts';

const random = new SeededRandom(3);
const { text, id, secretHash } = createAccessToken(random);

describe('an access token', () => {
  it('is known by its id and its secret', () => {
    expect(text).toMatch(/^hft_[0-9a-f]{16}_[A-Za-z0-9_-]{43}_[0-9a-f]{8}$/);
    const shown = parseAccessToken(text);
    expect(shown).toEqual({ id, secretHash });
    if (shown === null) return;
    expect(isSecretOf(shown, secretHash)).toBe(true);
    expect(isSecretOf(shown, createAccessToken(random).secretHash)).toBe(false);
    expect(isSecretOf(shown, null)).toBe(false);
    expect(isSecretOf({ id, secretHash: Buffer.alloc(32) }, null)).toBe(false);
  });

  it('keeps nothing of its secret in what the store keeps', () => {
    const secret = Buffer.from(text.slice(21, 64), 'base64url');
    expect(secret).toHaveLength(32);
    expect(secretHash.equals(secret)).toBe(false);
  });

  it('has one way to be written: each character that is another makes it none', () => {
    for (let at = 0; at < text.length; at += 1) {
      for (const other of ['0', 'a', 'A', '_', '-', '.', ' ']) {
        if (text[at] === other) continue;
        expect(
          parseAccessToken(`${text.slice(0, at)}${other}${text.slice(at + 1)}`),
          `${at} ${other}`,
        ).toBeNull();
      }
    }
  });

  it.each([
    '',
    ' ',
    'hft_',
    text.slice(1),
    text.slice(0, -1),
    `${text}\n`,
    ` ${text}`,
    `${text}${text}`,
    text.toUpperCase(),
  ])('%j is none', (other) => expect(parseAccessToken(other)).toBeNull());

  it('is none of 1 MiB', () => {
    expect(parseAccessToken(`hft_${'a'.repeat(1 << 20)}`)).toBeNull();
  });
});
