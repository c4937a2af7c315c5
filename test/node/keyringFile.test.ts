import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { type Keyring, withToggle } from '../../src/envelope/keyring.ts';
import { sealKeyring } from '../../src/envelope/keyringForm.ts';
import { KeyringFile } from '../../src/node/keyringFile.ts';
import { controlKeyOf, keyringFor, OTHER_STORE_ID, STORE_ID } from '../envelope/fixtures.ts';
import { refusalOf } from './refusal.ts';

const KEY = controlKeyOf(1);
const OWNER = { storeId: STORE_ID, controlKeys: () => [KEY] };
const stored = (keyring: Keyring, key = KEY) => sealKeyring(keyring, key, new SeededRandom(5));

let folder: string;
let path: string;
const first = keyringFor('on');
const second = withToggle(first, 'off');

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-keyring-'));
  path = join(folder, 'keyring');
  writeFileSync(path, stored(first), { mode: 0o600 });
});
afterEach(() => {
  chmodSync(folder, 0o700);
  rmSync(folder, { recursive: true });
});

describe('the keyring file', () => {
  it('is replaced whole, and opens as the new one', () => {
    const file = new KeyringFile(path, OWNER);
    expect(file.keyring.encryption).toBe('on');
    const next = stored(second);
    expect(file.replace(next).encryption).toBe('off');
    expect(file.keyring.generation).toBe(second.generation);
    expect(readFileSync(path)).toEqual(next);
    expect(file.stored()).toEqual(next);
    expect(existsSync(`${path}.new`)).toBe(false);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(new KeyringFile(path, OWNER).keyring.encryption).toBe('off');
  });

  it('is left alone by what it holds already, and by what a replay of the log brings again', () => {
    const before = stored(first);
    writeFileSync(path, stored(second), { mode: 0o600 });
    const file = new KeyringFile(path, OWNER);
    const { ino } = statSync(path);
    file.replace(file.stored());
    expect(file.replace(before).encryption).toBe('off');
    expect(file.keyring.encryption).toBe('off');
    expect(statSync(path).ino).toBe(ino);
  });

  it('survives the remains of a replacement that was cut off', () => {
    writeFileSync(`${path}.new`, 'half');
    const file = new KeyringFile(path, OWNER);
    file.replace(stored(second));
    expect(new KeyringFile(path, OWNER).keyring.encryption).toBe('off');
  });

  it('keeps what it has when it cannot be written', async () => {
    const file = new KeyringFile(path, OWNER);
    rmSync(folder, { recursive: true });
    expect((await refusalOf(() => file.replace(stored(second)))).code).toBe('DISK_FAILED');
    expect(file.keyring.encryption).toBe('on');
    writeFileSync((folder = mkdtempSync(join(tmpdir(), 'holdfast-keyring-'))) + '/x', '');
  });

  it('takes nothing that does not open, and nothing of another store', async () => {
    const file = new KeyringFile(path, OWNER);
    const foreign = stored(second, controlKeyOf(2));
    expect((await refusalOf(() => file.replace(foreign))).code).toBe('CONTROL_KEY_MISMATCH');
    expect(() => file.replace(stored(keyringFor('off', 3, OTHER_STORE_ID)))).toThrow(InvariantViolation);
    expect(readFileSync(path)).toEqual(Buffer.from(file.stored()));
    expect(file.keyring.encryption).toBe('on');
  });

  it('is refused when it is missing, too large, of another store or under another key', async () => {
    const otherKey = { ...OWNER, controlKeys: () => [controlKeyOf(2)] };
    expect((await refusalOf(() => new KeyringFile(path, otherKey))).code).toBe('CONTROL_KEY_MISMATCH');
    const otherStore = { ...OWNER, storeId: OTHER_STORE_ID };
    expect((await refusalOf(() => new KeyringFile(path, otherStore))).code).toBe('CLUSTER_MISMATCH');
    const missing = await refusalOf(() => new KeyringFile(join(folder, 'none'), OWNER));
    expect(missing.code).toBe('DATA_DIR_INVALID');
    writeFileSync(path, Buffer.alloc(LIMITS.keyringBytesMax + 1));
    expect((await refusalOf(() => new KeyringFile(path, OWNER))).code).toBe('DATA_DIR_INVALID');
  });
});
