import { describe, expect, it } from 'vitest';
import { hashPassword, PASSWORD_COST, verifyPassword } from '../../src/access/password.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';

const CHEAP = { logN: 4, blockSize: 8, parallelization: 1 };
const random = new SeededRandom(1);
const password = Buffer.from('correct horse');

describe('a password', () => {
  it('is right, and nothing else is', async () => {
    const stored = await hashPassword(password, { random });
    expect(stored).toMatch(/^\$scrypt\$ln=15,r=8,p=1\$[^$=]{22}\$[^$=]{43}$/);
    expect(await verifyPassword(password, stored)).toBe('right');
    for (const other of ['correct horsf', 'correct hors', 'correct horse ', '', '\0'])
      expect(await verifyPassword(Buffer.from(other), stored)).toBe('wrong');
  });

  it('is hashed with another salt each time', async () => {
    const [one, other] = [
      await hashPassword(password, { random, cost: CHEAP }),
      await hashPassword(password, { random, cost: CHEAP }),
    ];
    expect(one).not.toBe(other);
    for (const stored of [one, other]) expect(await verifyPassword(password, stored)).toBe('outdated');
  });

  it('is outdated when it costs less than those that are set now', async () => {
    const { logN, blockSize, parallelization } = PASSWORD_COST;
    for (const [cost, expected] of [
      [{ ...PASSWORD_COST, logN: logN - 1 }, 'outdated'],
      [{ logN: logN - 1, blockSize: 2 * blockSize, parallelization }, 'right'],
    ] as const)
      expect(await verifyPassword(password, await hashPassword(password, { random, cost }))).toBe(expected);
  });

  // RFC 7914, section 12, the third vector: of its 64 bytes, PBKDF2 makes the first 32 by themselves.
  it('is hashed as the RFC says', async () => {
    const stored = await hashPassword(Buffer.from('pleaseletmein'), {
      random: { bytes: () => Buffer.from('SodiumChloride'), integer: () => 0 },
      cost: { logN: 14, blockSize: 8, parallelization: 1 },
    });
    const hash = Buffer.from(stored.split('$').at(-1) ?? '', 'base64').toString('hex');
    expect(hash).toBe('7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2');
  });

  it('of nobody is wrong, whatever it is', async () => {
    for (const guess of [password, Buffer.alloc(0), Buffer.alloc(32)])
      expect(await verifyPassword(guess, null)).toBe('wrong');
  });

  it.each([LIMITS.passwordBytesMin - 1, LIMITS.passwordBytesMax + 1])(
    'of %i bytes is refused',
    async (length) => {
      await expect(hashPassword(Buffer.alloc(length, 'x'), { random, cost: CHEAP })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        field: 'password',
      });
    },
  );

  it.each([LIMITS.passwordBytesMin, LIMITS.passwordBytesMax])('of %i bytes is taken', async (length) => {
    const longest = Buffer.alloc(length, 'x');
    const stored = await hashPassword(longest, { random, cost: CHEAP });
    expect(await verifyPassword(longest, stored)).toBe('outdated');
    expect(await verifyPassword(Buffer.alloc(length + 1, 'x'), stored)).toBe('wrong');
  });
});

describe('a stored hash', () => {
  const [salt, hash] = ['A'.repeat(22), 'A'.repeat(43)];
  it.each([
    '',
    'correct horse',
    `$scrypt$ln=04,r=8,p=1$${salt}$${hash}`,
    `$scrypt$ln=4,r=8$${salt}$${hash}`,
    `$scrypt$ln=4,r=8,p=0$${salt}$${hash}`,
    `$scrypt$ln=-4,r=8,p=1$${salt}$${hash}`,
    `$scrypt$ln=99,r=8,p=1$${salt}$${hash}`,
    `$scrypt$ln=20,r=99,p=1$${salt}$${hash}`,
    `$scrypt$ln=4,r=8,p=1$${salt}==$${hash}=`,
    `$scrypt$ln=4,r=8,p=1$${salt}$${hash.slice(1)}`,
    `$scrypt$ln=4,r=8,p=1$${salt}$${hash}\n`,
    `$argon2id$v=19$m=65536,t=2,p=1$${salt}$${hash}`,
  ])('%j is not readable', async (stored) => {
    await expect(verifyPassword(password, stored)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });
});
