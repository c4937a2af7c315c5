import { execFileSync } from 'node:child_process';
import { createHash, createHmac, hkdfSync } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import {
  createControlKeyFile,
  createJwtSecretFile,
  loadControlKeys,
  loadJwtSecret,
} from '../../src/envelope/keySources.ts';
import { refusalOf } from './fixtures.ts';

const KEY = Buffer.alloc(32, 7);
const fingerprint = (key: Buffer) => `sha256:${createHash('sha256').update(key).digest('hex')}`;
const CREATED = '2026-01-02T03:04:05.678Z';
const isRoot = process.getuid?.() === 0;

function entry(key: Buffer, state = 'active'): Record<string, unknown> {
  return { fingerprint: fingerprint(key), key: key.toString('base64'), state, created: CREATED };
}

let root: string;
let dataDir: string;
let path: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-keys-'));
  dataDir = join(root, 'data');
  mkdirSync(dataDir);
  path = join(root, 'secret-control.json');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function writeKeys(content: unknown, mode = 0o600, at = path): void {
  writeFileSync(at, typeof content === 'string' ? content : JSON.stringify(content));
  chmodSync(at, mode);
}
const load = () => loadControlKeys({ env: {}, path, dataDir });
const newFile = () => ({ path, dataDir, random: new SeededRandom(3), clock: new ManualClock() });

describe('a key file', () => {
  test('gives its keys by state, the active one first', () => {
    const [prepared, legacy] = [Buffer.alloc(32, 8), Buffer.alloc(32, 9)];
    writeKeys({ schema: 1, keys: [entry(legacy, 'legacy'), entry(prepared, 'prepared'), entry(KEY)] });
    const keys = load();
    expect(keys.source).toBe('file');
    expect(keys.active.fingerprint).toBe(fingerprint(KEY));
    expect(keys.all.map((key) => key.fingerprint)).toEqual([KEY, prepared, legacy].map(fingerprint));
    expect(keys.prepared.map((key) => key.fingerprint)).toEqual([fingerprint(prepared)]);
    expect(keys.legacy.map((key) => key.fingerprint)).toEqual([fingerprint(legacy)]);
  });

  test('subkeys are HKDF-SHA-256 by label, one each', () => {
    writeKeys({ schema: 1, keys: [entry(KEY)] });
    const { active } = load();
    const expected = Buffer.from(hkdfSync('sha256', KEY, '', 'holdfast/control-key/v1/join/joiner', 32));
    expect(active.subkey('join/joiner').export()).toEqual(expected);
    expect(active.subkey('join/server').export()).not.toEqual(expected);
    expect(JSON.stringify(active)).toBe(JSON.stringify({ fingerprint: fingerprint(KEY) }));
  });

  const contents: [string, unknown, string][] = [
    ['no JSON', '{"schema":1,', 'not JSON'],
    ['no UTF-8', '\u0000', 'not JSON'],
    ['an empty file', '', '0 bytes'],
    ['a list', [], 'schema'],
    ['an unknown schema', { schema: 2, keys: [entry(KEY)] }, 'schema'],
    ['no keys', { schema: 1, keys: [] }, 'exactly one key must have the state active'],
    ['keys that are no list', { schema: 1, keys: entry(KEY) }, 'must be a list'],
    ['too many keys', { schema: 1, keys: Array.from({ length: 65 }, () => entry(KEY)) }, 'over the limit'],
    ['a field more', { schema: 1, keys: [entry(KEY)], extra: 1 }, 'fields besides'],
    [
      'a key without a field',
      { schema: 1, keys: [{ ...entry(KEY), created: undefined }] },
      'created is missing',
    ],
    ['a key with a field more', { schema: 1, keys: [{ ...entry(KEY), note: '' }] }, 'fields besides'],
    ['no active key', { schema: 1, keys: [entry(KEY, 'legacy')] }, 'exactly one key'],
    ['two active keys', { schema: 1, keys: [entry(KEY), entry(Buffer.alloc(32, 8))] }, 'exactly one key'],
    ['a key twice', { schema: 1, keys: [entry(KEY), entry(KEY, 'legacy')] }, 'twice'],
    ['an unknown state', { schema: 1, keys: [entry(KEY, 'retired')] }, 'state must be one of'],
    ['a key of 31 bytes', { schema: 1, keys: [entry(Buffer.alloc(31, 7))] }, 'exactly 32 bytes'],
    ['a key of 33 bytes', { schema: 1, keys: [entry(Buffer.alloc(33, 7))] }, 'exactly 32 bytes'],
    ['a key in hex', { schema: 1, keys: [{ ...entry(KEY), key: KEY.toString('hex') }] }, 'exactly 32 bytes'],
    ['a key that is a number', { schema: 1, keys: [{ ...entry(KEY), key: 7 }] }, 'exactly 32 bytes'],
    [
      "another key's fingerprint",
      { schema: 1, keys: [{ ...entry(KEY), fingerprint: fingerprint(Buffer.alloc(32)) }] },
      'as the file says',
    ],
    ['no fingerprint', { schema: 1, keys: [{ ...entry(KEY), fingerprint: 'sha1:00' }] }, 'lower-case hex'],
    ['no time', { schema: 1, keys: [{ ...entry(KEY), created: 'yesterday' }] }, 'created'],
  ];
  test.each(contents)('with %s is refused', (_name, content, told) => {
    writeKeys(content);
    const refusal = refusalOf(load);
    expect(refusal.code).toBe('KEY_FILE_INVALID');
    expect(refusal.message).toContain(told);
    expect(refusal.message).toContain(path);
    expect(refusal.hint).not.toBe('');
    expect(`${refusal.message}${refusal.hint}${String(refusal.cause)}`).not.toContain(KEY.toString('base64'));
  });

  test('that is not UTF-8 is refused', () => {
    writeFileSync(path, Buffer.from([0x22, 0xff, 0x22]), { mode: 0o600 });
    expect(refusalOf(load).message).toContain('not JSON');
  });

  test('of unpadded or non-canonical base64 is refused', () => {
    const text = KEY.toString('base64');
    const twin = `${text.slice(0, 42)}${String.fromCharCode(text.charCodeAt(42) + 1)}=`;
    expect(Buffer.from(twin, 'base64')).toEqual(KEY);
    for (const key of [text.slice(0, 43), twin, text.replace('=', '==')]) {
      writeKeys({ schema: 1, keys: [{ ...entry(KEY), key }] });
      expect(refusalOf(load).message).toContain('exactly 32 bytes');
    }
  });
});

describe('where and how a key file lies', () => {
  const good = { schema: 1, keys: [entry(KEY)] };
  const refused = (told: string): void => {
    const refusal = refusalOf(load);
    expect(refusal.code).toBe('KEY_FILE_INVALID');
    expect(refusal.message).toContain(told);
    expect(refusal.hint).not.toBe('');
  };

  test.each([0o644, 0o640, 0o620, 0o604, 0o602, 0o610, 0o601])(
    'mode %o is refused, with the command',
    (mode) => {
      writeKeys(good, mode);
      refused(`mode 0${mode.toString(8)}`);
      expect(refusalOf(load).hint).toBe(`Run: chmod 0600 '${path}'`);
    },
  );

  test.each([0o600, 0o400])('mode %o is accepted', (mode) => {
    writeKeys(good, mode);
    expect(load().active.fingerprint).toBe(fingerprint(KEY));
  });

  test('missing, or in a missing directory', () => {
    refused('it does not exist');
    path = join(root, 'nowhere', 'secret.json');
    refused('it does not exist');
    writeFileSync(join(root, 'file'), '');
    path = join(root, 'file', 'secret.json');
    refused('no directory');
  });

  test('a directory, a pipe, a loop of links', () => {
    mkdirSync(path, { mode: 0o700 });
    refused('not a regular file');
    path = join(root, 'pipe');
    execFileSync('mkfifo', ['-m', '600', path]);
    refused('not a regular file');
    path = join(root, 'loop');
    symlinkSync(path, path);
    refused('links');
  });

  test('too large, one byte over the limit', () => {
    const text = JSON.stringify(good);
    writeKeys(text.padEnd(LIMITS.keyFileBytesMax));
    expect(load().active.fingerprint).toBe(fingerprint(KEY));
    writeKeys(text.padEnd(LIMITS.keyFileBytesMax + 1));
    refused(`${LIMITS.keyFileBytesMax + 1} bytes`);
  });

  test('under the data directory: itself, through a link to it, through a linked directory', () => {
    const inside = join(dataDir, 'deep', 'secret.json');
    mkdirSync(join(dataDir, 'deep'));
    writeKeys(good, 0o600, inside);
    symlinkSync(inside, path);
    refused('under the data directory');
    symlinkSync(join(dataDir, 'deep'), join(root, 'elsewhere'));
    path = join(root, 'elsewhere', 'secret.json');
    refused('under the data directory');
    path = inside;
    refused('under the data directory');
    path = join(dataDir, '..keys.json');
    writeKeys(good);
    refused('under the data directory');
    dataDir = join(root, 'alias');
    symlinkSync(join(root, 'data'), dataDir);
    refused('under the data directory');
  });

  test('beside the data directory is fine, also with a name that begins like it, or through a link', () => {
    for (const name of ['data-keys.json', '..keys.json']) {
      path = join(root, name);
      writeKeys(good);
      expect(load().active.fingerprint).toBe(fingerprint(KEY));
    }
    const linked = join(root, 'linked');
    symlinkSync(path, linked);
    path = linked;
    expect(load().active.fingerprint).toBe(fingerprint(KEY));
    dataDir = join(root, 'not', 'yet', 'made');
    expect(load().active.fingerprint).toBe(fingerprint(KEY));
  });

  test.skipIf(!isRoot)('of another owner', () => {
    writeKeys(good);
    chownSync(path, 12_345, 0);
    refused('its owner is user 12345');
  });

  test.skipIf(isRoot)('of another owner, or closed to us', () => {
    path = '/etc/passwd';
    refused('its owner is user 0');
    path = join(root, 'closed');
    writeKeys(good, 0o000);
    refused('this user may not use it');
  });
});

describe('making a key file', () => {
  test.each([0, 0o777])(
    '0600 whatever the umask (%o), with nothing left beside it, and loads to the same key',
    (umask) => {
      const before = process.umask(umask);
      try {
        const made = createControlKeyFile(newFile());
        expect(statSync(path).mode & 0o777).toBe(0o600);
        expect(readdirSync(root).sort()).toEqual(['data', 'secret-control.json']);
        const json = JSON.parse(readFileSync(path, 'utf8')) as {
          keys: { key: string; fingerprint: string }[];
        };
        expect(json).toMatchObject({
          schema: 1,
          keys: [{ state: 'active', created: '2023-11-14T22:13:20.000Z' }],
        });
        expect(fingerprint(Buffer.from(json.keys[0]?.key ?? '', 'base64'))).toBe(made.active.fingerprint);
        expect(load().active.fingerprint).toBe(made.active.fingerprint);
      } finally {
        process.umask(before);
      }
    },
  );

  test('never overwrites, not even a dangling link', () => {
    writeKeys('precious');
    const refusal = refusalOf(() => createControlKeyFile(newFile()));
    expect([refusal.code, refusal.message]).toEqual([
      'KEY_FILE_INVALID',
      expect.stringContaining('exists already'),
    ]);
    expect(readFileSync(path, 'utf8')).toBe('precious');
    path = join(root, 'dangling');
    symlinkSync(join(root, 'target'), path);
    expect(refusalOf(() => createControlKeyFile(newFile())).message).toContain('exists already');
    expect(readdirSync(root).sort()).toEqual(['dangling', 'data', 'secret-control.json']);
  });

  test('not under the data directory, nor in a missing one', () => {
    path = join(dataDir, 'secret.json');
    expect(refusalOf(() => createControlKeyFile(newFile())).message).toContain('under the data directory');
    expect(readdirSync(dataDir)).toEqual([]);
    path = join(root, 'nowhere', 'secret.json');
    expect(refusalOf(() => createControlKeyFile(newFile())).code).toBe('KEY_FILE_INVALID');
  });

  test('the JWT secret follows the same rules', () => {
    const made = createJwtSecretFile(newFile());
    const secret = loadJwtSecret({ env: {}, path, dataDir });
    expect(secret.fingerprint).toBe(made.fingerprint);
    expect(fingerprint(secret.key.export())).toBe(made.fingerprint);
    expect(createHmac('sha256', secret.key).digest('hex')).toMatch(/^[0-9a-f]{64}$/);
    linkSync(path, join(root, 'twin'));
    chmodSync(path, 0o644);
    expect(refusalOf(() => loadJwtSecret({ env: {}, path, dataDir })).code).toBe('KEY_FILE_INVALID');
    expect(refusalOf(() => createJwtSecretFile(newFile())).code).toBe('KEY_FILE_INVALID');
  });
});

describe('keys in the environment', () => {
  const hex = KEY.toString('hex');

  test.each([
    ['base64', KEY.toString('base64')],
    ['hex', hex],
    ['upper-case hex', hex.toUpperCase()],
    ['a text with a line end', `${hex}\n`],
  ])('%s, and the file is not looked at', (_name, text) => {
    const keys = loadControlKeys({ env: { HOLDFAST_CONTROL_KEY: text }, path, dataDir });
    expect(keys.source).toBe('environment');
    expect(keys.all.map((key) => key.fingerprint)).toEqual([fingerprint(KEY)]);
    expect(loadJwtSecret({ env: { HOLDFAST_JWT_SECRET: text }, path, dataDir })).toMatchObject({
      source: 'environment',
      fingerprint: fingerprint(KEY),
    });
  });

  test.each([
    ['empty', ''],
    ['blank', '  '],
    ['31 bytes of hex', hex.slice(2)],
    ['33 bytes of hex', `${hex}00`],
    ['31 bytes of base64', Buffer.alloc(31, 9).toString('base64')],
    ['33 bytes of base64', Buffer.alloc(33, 9).toString('base64')],
    ['no digits of hex', `g${hex.slice(1)}`],
    ['a passphrase', 'correct horse battery staple, 32'],
  ])('%s is refused, though there is a good file', (_name, text) => {
    createControlKeyFile(newFile());
    for (const [field, run] of [
      ['HOLDFAST_CONTROL_KEY', () => loadControlKeys({ env: { HOLDFAST_CONTROL_KEY: text }, path, dataDir })],
      ['HOLDFAST_JWT_SECRET', () => loadJwtSecret({ env: { HOLDFAST_JWT_SECRET: text }, path, dataDir })],
    ] as const) {
      const refusal = refusalOf(run);
      expect([refusal.code, refusal.field]).toEqual(['CONFIG_INVALID', field]);
      expect(refusal.hint).toContain('holdfast key generate');
      if (text.trim() !== '') expect(`${refusal.message}${refusal.hint}`).not.toContain(text);
    }
  });

  test('legacy keys are listed with commas', () => {
    const others = [Buffer.alloc(32, 8), Buffer.alloc(32, 9)];
    const [first, second] = others.map((key) => key.toString('base64'));
    const withLegacy = (text: string) =>
      loadControlKeys({
        env: { HOLDFAST_CONTROL_KEY: hex, HOLDFAST_LEGACY_CONTROL_KEYS: text },
        path,
        dataDir,
      });
    expect(withLegacy(`${first}, ${second}`).legacy.map((key) => key.fingerprint)).toEqual(
      others.map(fingerprint),
    );
    expect(withLegacy('').legacy).toEqual([]);
    for (const text of [
      ',',
      `${first},`,
      `${first},${first}`,
      KEY.toString('base64'),
      `${first} ${second}`,
    ]) {
      const refusal = refusalOf(() => withLegacy(text));
      expect([refusal.code, refusal.field]).toEqual(['CONFIG_INVALID', 'HOLDFAST_LEGACY_CONTROL_KEYS']);
    }
    const many = Array.from({ length: 65 }, (_, i) => Buffer.alloc(32, i + 100).toString('hex')).join(',');
    expect(refusalOf(() => withLegacy(many)).message).toContain('more than 64');
  });

  test('legacy keys alone are refused: which source is meant would be a guess', () => {
    createControlKeyFile(newFile());
    const refusal = refusalOf(() =>
      loadControlKeys({ env: { HOLDFAST_LEGACY_CONTROL_KEYS: hex }, path, dataDir }),
    );
    expect([refusal.code, refusal.field]).toEqual(['CONFIG_INVALID', 'HOLDFAST_LEGACY_CONTROL_KEYS']);
  });
});
