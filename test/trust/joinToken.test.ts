import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { createJoinToken, hashTokenSecret, parseJoinToken } from '../../src/trust/joinToken.ts';

const spkiHash = createHash('sha256').update('a CA').digest();
const addresses = ['node-1.example.net:7441', '10.0.0.2:7441', '[fd00::3]:7441'];
const make = (seed = 1) => createJoinToken({ random: new SeededRandom(seed), spkiHash, addresses });

function refusal(text: string): HoldfastError {
  try {
    parseJoinToken(text);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(HoldfastError);
    return thrown as HoldfastError;
  }
  throw new Error('the token was taken');
}

describe('a join token', () => {
  it('gives back what it was made of, and the store sees only the hash of its secret', () => {
    const { text, id, secretHash } = make();
    const token = parseJoinToken(` ${text}\n`);
    expect(token.id).toBe(id);
    expect(token.spkiHash).toEqual(spkiHash);
    expect(token.addresses).toEqual(addresses);
    expect(hashTokenSecret(token.secret)).toEqual(secretHash);
    expect(secretHash).toEqual(createHash('sha256').update(token.secret).digest());
  });

  it('has six parts that are safe in a URL and a shell', () => {
    expect(make().text).toMatch(/^hf1\.[0-9a-f]{16}\.[\w-]{43}\.[0-9a-f]{64}\.[\w-]+\.[0-9a-f]{8}$/);
  });

  it('is refused when any one character is mistyped, left out, doubled or swapped with the next', () => {
    const { text } = make();
    for (let at = 0; at < text.length; at += 1) {
      const before = text.slice(0, at);
      const after = text.slice(at + 1);
      const here = text.charAt(at);
      const next = text.charAt(at + 1);
      const wrong = ['a', 'A', '0', '1', '_', '-', '.', 'B', ' ', here.toUpperCase()].map(
        (c) => before + c + after,
      );
      wrong.push(before + after, before + here + here + after);
      if (next !== '') wrong.push(before + next + here + after.slice(1));
      for (const variant of wrong.filter((text_) => text_.trim() !== text)) {
        expect(refusal(variant).code).toBe('TOKEN_MALFORMED');
      }
    }
  });

  it('is refused with the name of the part that is wrong, and never with the secret', () => {
    const { text } = make();
    const parts = text.split('.');
    const withPart = (index: number, part: string) => parts.with(index, part).join('.');
    const table: [string, RegExp][] = [
      ['', /begin with hf1/],
      [text.slice(0, 40), /3 parts|2 parts/],
      [withPart(0, 'hf2'), /begin with hf1/],
      [withPart(1, 'XYZ'), /id \(part 2\)/],
      [withPart(2, parts[2]?.slice(0, 20) ?? ''), /secret \(part 3\)/],
      [withPart(3, 'ab'), /CA hash \(part 4\)/],
      [withPart(4, Buffer.from('nowhere').toString('base64url')), /addresses \(part 5\)/],
      [withPart(4, ''), /addresses \(part 5\)/],
      [withPart(5, '00000000'), /checksum \(part 6\)/],
      [`${text}.x`, /7 parts/],
      ['x'.repeat(LIMITS.joinTokenTextBytesMax + 1), /too long/],
    ];
    for (const [wrong, message] of table) {
      const error = refusal(wrong);
      expect(error.code).toBe('TOKEN_MALFORMED');
      expect(error.message).toMatch(message);
      expect(error.field).toBe('token');
      expect(`${error.message}${error.hint}`).not.toContain(parts[2]?.slice(0, 8) ?? '?');
    }
  });

  it('takes the longest addresses that there are, and not more of them than its limit', () => {
    const longest = `${'a'.repeat(50)}.`.repeat(4) + `${'b'.repeat(40)}:65535`;
    const many = Array.from({ length: 20 }, () => longest);
    const { text } = createJoinToken({ random: new SeededRandom(2), spkiHash, addresses: many });
    expect(parseJoinToken(text).addresses).toEqual(many.slice(0, LIMITS.joinTokenAddressesMax));
  });

  it.each([[[]], [['nohost']], [['a:0']], [['a:65536']], [['*.a:1']], [['a,b:1']]])(
    'is not made for the addresses %j',
    (bad) => {
      expect(() => createJoinToken({ random: new SeededRandom(3), spkiHash, addresses: bad })).toThrow(
        /host:port/,
      );
    },
  );
});
