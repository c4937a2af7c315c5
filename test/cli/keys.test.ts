import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runHere } from './rig.ts';

let folder: string;
let control: string;
let jwt: string;
let flags: readonly string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-keys-'));
  control = join(folder, 'control.json');
  jwt = join(folder, 'jwt.json');
  flags = [
    ['--control-key-path', control],
    ['--jwt-secret-path', jwt],
    ['--data-dir', join(folder, 'data')],
  ].flat();
});
afterEach(() => rmSync(folder, { recursive: true }));

const key = (...words: string[]) => runHere(['key', ...words, ...flags, '--output', 'json']);
const json = (ended: { stdout: Buffer }) => JSON.parse(ended.stdout.toString()) as Record<string, unknown>;

/** The 32 bytes in a key file. */
function keyIn(path: string): Buffer {
  const { keys } = JSON.parse(readFileSync(path, 'utf8')) as { keys: readonly { key: string }[] };
  return Buffer.from(keys[0]?.key ?? '', 'base64');
}

const fingerprintOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

describe('key generate', () => {
  it('makes both files, 0600, and tells what an operator can compute again, never a key', async () => {
    const made = await key('generate');
    expect(made.status).toBe(0);
    expect(json(made)).toEqual({
      files: [control, jwt],
      controlKeyFingerprint: fingerprintOf(keyIn(control)),
      jwtSecretFingerprint: fingerprintOf(keyIn(jwt)),
    });
    for (const path of [control, jwt]) {
      expect(keyIn(path)).toHaveLength(32);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      expect(made.stdout.toString() + made.stderr).not.toContain(keyIn(path).toString('base64'));
    }
    expect(json(await key('fingerprint'))).toMatchObject({
      controlKeyFingerprint: fingerprintOf(keyIn(control)),
      jwtSecretFingerprint: fingerprintOf(keyIn(jwt)),
      otherControlKeys: [],
    });
  });

  it('overwrites nothing, and then makes nothing', async () => {
    await key('generate');
    const before = readFileSync(jwt);
    rmSync(control);
    const again = await key('generate');
    expect(again.status).toBe(1);
    expect(again.stderr).toContain('KEY_FILE_INVALID');
    expect(readFileSync(jwt)).toEqual(before);
    expect(existsSync(control)).toBe(false);
  });
});

describe('key fingerprint', () => {
  it('is that of the environment before that of the file', async () => {
    await key('generate');
    const given = Buffer.alloc(32, 7);
    const environment = { HOLDFAST_CONTROL_KEY: given.toString('base64') };
    const shown = await runHere(['key', 'fingerprint', ...flags, '--output', 'json'], { environment });
    expect(json(shown)).toMatchObject({ controlKeyFingerprint: fingerprintOf(given) });
  });

  it('is not shown of a file that others may read, or that is not there', async () => {
    expect((await key('fingerprint')).stderr).toContain('KEY_FILE_INVALID');
    await key('generate');
    chmodSync(control, 0o644);
    const refused = await key('fingerprint');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain('KEY_FILE_INVALID');
    expect(refused.stdout).toHaveLength(0);
  });
});

describe('key confirm-backup', () => {
  const here = () => ['--control-key-path', control, '--data-dir', join(folder, 'data')];
  const confirm = (fingerprint: string) =>
    runHere(['key', 'confirm-backup', '--fingerprint', fingerprint, ...here(), '--output', 'json']);
  const record = () => `${control}.backup-confirmed`;

  it('records the fingerprint of the copy beside the key file, 0600', async () => {
    await key('generate');
    const fingerprint = fingerprintOf(keyIn(control));
    const confirmed = await confirm(fingerprint);
    expect(confirmed.status).toBe(0);
    expect(json(confirmed)).toEqual({ confirmed: fingerprint, file: record() });
    expect(readFileSync(record(), 'utf8')).toBe(`${fingerprint}\n`);
    expect(statSync(record()).mode & 0o777).toBe(0o600);
  });

  it.each([
    ['that of another key', fingerprintOf(Buffer.alloc(32)), 'CONTROL_KEY_MISMATCH'],
    ['no fingerprint', 'sha256:ABC', 'INVALID_ARGUMENT'],
  ])('refuses %s, and records nothing', async (_what, fingerprint, code) => {
    await key('generate');
    const refused = await confirm(fingerprint);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(code);
    if (code === 'CONTROL_KEY_MISMATCH') {
      expect(refused.stderr).toContain(fingerprint);
      expect(refused.stderr).toContain(fingerprintOf(keyIn(control)));
    }
    expect(existsSync(record())).toBe(false);
  });

  it('refuses a key of the environment, which has no file', async () => {
    await key('generate');
    const given = Buffer.alloc(32, 7);
    const environment = { HOLDFAST_CONTROL_KEY: given.toString('base64') };
    const words = ['key', 'confirm-backup', '--fingerprint', fingerprintOf(given), ...here()];
    const refused = await runHere(words, { environment });
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain('CONFIG_INVALID');
    expect(existsSync(record())).toBe(false);
  });

  it('is done anew for another key', async () => {
    await key('generate');
    await confirm(fingerprintOf(keyIn(control)));
    for (const path of [control, jwt]) rmSync(path);
    await key('generate');
    expect((await confirm(fingerprintOf(keyIn(control)))).status).toBe(0);
    expect(readFileSync(record(), 'utf8')).toBe(`${fingerprintOf(keyIn(control))}\n`);
  });
});
