import { scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { assert } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';

/** What one guess costs (RFC 7914, section 2): 128 * 2^logN * blockSize bytes of memory, and time in proportion. */
export interface PasswordCost {
  readonly logN: number;
  readonly blockSize: number;
  readonly parallelization: number;
}

/** 32 MiB, and about 0.1 s of a processor. Raised over time: what costs less is hashed anew when its password is known. */
export const PASSWORD_COST: PasswordCost = { logN: 15, blockSize: 8, parallelization: 1 };

const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Beside the memory that the cost says. */
const SPARE_BYTES = 1024 * 1024;

/** Numbers have no sign and no leading zero, base64 has no padding: https://github.com/P-H-C/phc-string-format */
const PHC = /^\$scrypt\$ln=([1-9]\d?),r=([1-9]\d?),p=([1-9]\d?)\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/;

interface PasswordHash {
  readonly cost: PasswordCost;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

const derive = promisify<Buffer, Buffer, number, { N: number; r: number; p: number; maxmem: number }, Buffer>(
  scrypt,
);

/**
 * A password in the form in which it is stored, a PHC string.
 * @param password UTF-8, 8 to 1,024 bytes
 * @throws HoldfastError INVALID_ARGUMENT
 */
export async function hashPassword(
  password: Buffer,
  { random, cost = PASSWORD_COST }: { readonly random: RandomSource; readonly cost?: PasswordCost },
): Promise<string> {
  if (password.length < LIMITS.passwordBytesMin || password.length > LIMITS.passwordBytesMax) {
    const hint = `choose one of ${LIMITS.passwordBytesMin} to ${LIMITS.passwordBytesMax} bytes`;
    throw new HoldfastError('INVALID_ARGUMENT', 'the password is too short or too long', {
      field: 'password',
      hint,
    });
  }
  const salt = random.bytes(SALT_BYTES);
  const hash = await hashOf(password, { salt, cost });
  const { logN, blockSize, parallelization } = cost;
  return `$scrypt$ln=${logN},r=${blockSize},p=${parallelization}$${unpadded(salt)}$${unpadded(hash)}`;
}

/**
 * Whether a password is the one that was hashed; `outdated`: it is, and should be hashed anew. For null, where there is nobody
 * with a password, it takes as long as for a wrong one that was hashed at today's cost: who asks does not learn which.
 * @throws HoldfastError STATE_CORRUPT for anything that hashPassword did not make
 */
export async function verifyPassword(
  password: Buffer,
  stored: string | null,
): Promise<'right' | 'outdated' | 'wrong'> {
  const { cost, salt, hash } = stored === null ? NOBODY : parsed(stored);
  // It was refused when it was to be set: no hash is of it.
  const asked = password.length > LIMITS.passwordBytesMax ? Buffer.alloc(0) : password;
  const isSame = timingSafeEqual(await hashOf(asked, { salt, cost }), hash);
  if (!isSame || stored === null) return 'wrong';
  return costs(cost) < costs(PASSWORD_COST) ? 'outdated' : 'right';
}

const NOBODY: PasswordHash = {
  cost: PASSWORD_COST,
  salt: Buffer.alloc(SALT_BYTES),
  hash: Buffer.alloc(HASH_BYTES),
};

function parsed(stored: string): PasswordHash {
  const [, logN, blockSize, parallelization, salt = '', hash = ''] = PHC.exec(stored) ?? [];
  const cost = {
    logN: Number(logN),
    blockSize: Number(blockSize),
    parallelization: Number(parallelization),
  };
  if (!(memoryBytes(cost) <= LIMITS.passwordMemoryBytesMax))
    throw new HoldfastError('STATE_CORRUPT', 'a stored password hash is not readable', {
      hint: 'set the password again',
    });
  return { cost, salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') };
}

async function hashOf(
  password: Buffer,
  { salt, cost }: { readonly salt: Buffer; readonly cost: PasswordCost },
): Promise<Buffer> {
  assert(memoryBytes(cost) <= LIMITS.passwordMemoryBytesMax, 'a password costs what memory there is');
  const { logN, blockSize: r, parallelization: p } = cost;
  return await derive(password, salt, HASH_BYTES, {
    N: 2 ** logN,
    r,
    p,
    maxmem: memoryBytes(cost) + SPARE_BYTES,
  });
}

/** NaN where the cost is. */
const memoryBytes = ({ logN, blockSize, parallelization }: PasswordCost): number =>
  128 * blockSize * (2 ** logN + parallelization);
const costs = ({ logN, blockSize, parallelization }: PasswordCost): number =>
  2 ** logN * blockSize * parallelization;

const unpadded = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');
