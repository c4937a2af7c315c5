import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Context } from '../../src/cli/context.ts';
import { authorityFingerprint } from '../../src/client/index.ts';
import { CliRig, type RunOptions } from './rig.ts';

const PASSWORD = 'right password';

let rig: CliRig;
let url: string;
let fingerprint: string;
/** Of somebody who has no context yet. */
let environment: NodeJS.ProcessEnv;
beforeAll(async () => {
  rig = await CliRig.create();
  url = `https://${rig.context.endpoints[0]}`;
  fingerprint = authorityFingerprint(new X509Certificate(rig.context.ca).raw);
});
beforeEach(() => {
  environment = { HOLDFAST_CONFIG: rig.path('fresh.json') };
  rmSync(rig.path('fresh.json'), { force: true });
  rig.node.access.asked.length = 0;
});
afterAll(() => rig.close());

const cli = (words: readonly string[], options: RunOptions = {}) =>
  rig.cli(words, { environment, ...options });
const contexts = () =>
  JSON.parse(readFileSync(rig.path('fresh.json'), 'utf8')) as { current: string; contexts: Context[] };
const login = (...more: string[]) =>
  cli(['login', url, '--ca-fingerprint', fingerprint, '--user', 'ada', '--password-file', '-', ...more], {
    stdin: `${PASSWORD}\n`,
  });
const asked = () => rig.node.access.asked.map(([method, , request]) => [method, request]);

describe('login', () => {
  it('keeps a session, and nothing else that is secret, in a context that is the current one then', async () => {
    const { status, stdout, stderr } = await login('--output', 'json');
    const name = `ada@${rig.context.endpoints[0]}`;
    const expires = new Date(4_000_000_000_000).toISOString();
    expect([status, stderr, JSON.parse(stdout.toString())]).toEqual([
      0,
      '',
      { user: 'ada', context: name, expires },
    ]);
    expect(contexts()).toMatchObject({
      current: name,
      contexts: [{ name, token: 'session-of-ada', user: 'ada', certificate: '', privateKey: '' }],
    });
    expect(statSync(rig.path('fresh.json')).mode & 0o777).toBe(0o600);
    expect(readFileSync(rig.path('fresh.json'), 'utf8')).not.toContain(PASSWORD);
    expect((await cli(['whoami'])).stdout.toString()).toContain('user ada');
  });

  it('takes the password from the environment too', async () => {
    const words = ['login', url, '--ca-fingerprint', fingerprint, '--user', 'ada'];
    expect((await cli(words, { environment: { ...environment, HOLDFAST_PASSWORD: PASSWORD } })).status).toBe(
      0,
    );
  });

  it('takes the password of a file before that of the environment, where an empty one is none', async () => {
    const other = { environment: { ...environment, HOLDFAST_PASSWORD: 'another' }, stdin: PASSWORD };
    const words = ['login', url, '--ca-fingerprint', fingerprint, '--user', 'ada'];
    expect((await cli([...words, '--password-file', '-'], other)).status).toBe(0);
    const empty = await cli(words, { environment: { ...environment, HOLDFAST_PASSWORD: '' } });
    expect([empty.status, empty.stderr]).toEqual([2, expect.stringContaining('a password is needed')]);
  });

  it('sends nothing to a cluster with another CA', async () => {
    const other = `sha256:${'0'.repeat(64)}`;
    const { status, stderr } = await cli(
      ['login', url, '--ca-fingerprint', other, '--user', 'ada', '--password-file', '-'],
      { stdin: PASSWORD },
    );
    expect([status, stderr]).toEqual([1, expect.stringContaining(fingerprint)]);
    expect(stderr).toContain('CERTIFICATE_INVALID');
    expect([asked(), existsSync(rig.path('fresh.json'))]).toEqual([[], false]);
  });

  it.each<[string, string[], string]>([
    ['without a fingerprint, where nobody can be asked', ['login', 'URL', '--user', 'ada'], 'ca-fingerprint'],
    ['without a user', ['login', 'URL', '--ca-fingerprint', 'FP'], 'user'],
    ['without a password', ['login', 'URL', '--ca-fingerprint', 'FP', '--user', 'ada'], 'password-file'],
    ['without a context', ['login'], 'url'],
    ['at no address', ['login', 'nowhere'], 'url'],
  ])('is refused %s', async (_what, words, field) => {
    const filled = words.map((word) => word.replace('URL', url).replace('FP', fingerprint));
    const { status, stderr } = await cli([...filled, '--output', 'json']);
    expect([status, JSON.parse(stderr)]).toMatchObject([2, { error: { code: 'USAGE', field } }]);
    expect(asked()).toEqual([]);
  });

  it('of a person shows the fingerprint once, and hides what is typed as a password', async () => {
    const refused = await cli(['login', url], { typed: 'no\n' });
    expect([refused.status, asked()]).toEqual([1, []]);
    const first = await cli(['login', url], { typed: `yes\nada\nx\x7f${PASSWORD}\n` });
    expect([first.status, first.rawModes]).toEqual([0, [true, false]]);
    expect(first.stderr).toContain(fingerprint);
    expect(first.stderr).not.toContain(PASSWORD);
    expect(asked()).toEqual([['login', { name: 'ada', password: PASSWORD }]]);
    const second = await cli(['login'], { typed: `${PASSWORD}\n` });
    expect(second.status).toBe(0);
    expect(second.stderr).not.toContain(fingerprint);
    expect(contexts().contexts).toHaveLength(1);
  });

  it('that a person breaks off asks nobody', async () => {
    await login();
    rig.node.access.asked.length = 0;
    const { status, stderr, rawModes } = await cli(['login'], { typed: 'abc\x03' });
    expect([status, stderr, rawModes, asked()]).toEqual([
      1,
      expect.stringContaining('CANCELLED'),
      [true, false],
      [],
    ]);
  });

  it('does not overwrite the certificate of a context', async () => {
    writeFileSync(
      rig.path('fresh.json'),
      JSON.stringify({ schema: 1, current: 'test', contexts: [rig.context] }),
      { mode: 0o600 },
    );
    const { stderr } = await login('--context-name', 'test');
    expect(stderr).toContain('CONFIG_INVALID');
    expect((await login()).status).toBe(0);
    expect(contexts().contexts[0]).toEqual(rig.context);
  });

  it('with a wrong password changes nothing', async () => {
    await login();
    const before = contexts();
    const { status, stderr } = await cli(['login', '--password-file', '-'], { stdin: 'wrong' });
    expect([status, stderr]).toEqual([1, expect.stringContaining('UNAUTHENTICATED')]);
    expect(contexts()).toEqual(before);
  });
});

describe('a session', () => {
  it('is ended by logout, here and there, and then says how to go on', async () => {
    await login();
    expect((await cli(['logout'])).status).toBe(0);
    expect(asked().at(-1)).toEqual(['logout', {}]);
    expect(contexts().contexts[0]).not.toHaveProperty('token');
    const after = await cli(['whoami']);
    expect([after.status, after.stderr]).toEqual([
      1,
      expect.stringMatching(/UNAUTHENTICATED\)\nhint: holdfast login/),
    ]);
    expect((await cli(['login', '--password-file', '-'], { stdin: PASSWORD })).status).toBe(0);
  });

  it('that has ended already is forgotten by logout all the same', async () => {
    await login();
    rig.node.access.users.sessions.clear();
    expect((await cli(['logout'])).status).toBe(0);
    expect(contexts().contexts[0]).not.toHaveProperty('token');
  });

  it('that is past its time is not shown to anybody', async () => {
    await login();
    const { contexts: all, ...file } = contexts();
    const old = all.map((context) => ({ ...context, expiresMs: 1 }));
    writeFileSync(rig.path('fresh.json'), JSON.stringify({ schema: 1, ...file, contexts: old }));
    const { status, stderr } = await cli(['whoami']);
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(/the session of ada .* ended at 1970.*\nhint: holdfast login/),
    ]);
  });

  it('has no certificate to renew', async () => {
    await login();
    expect((await cli(['context', 'renew'])).stderr).toMatch(/CONFIG_INVALID\)\nhint: .*log in again/);
  });

  it('gives way to a token of the environment', async () => {
    await login();
    rig.node.access.tokens.set('hft_1', '00ab');
    const { stdout } = await cli(['whoami'], { environment: { ...environment, HOLDFAST_TOKEN: 'hft_1' } });
    expect(stdout.toString()).toContain('token 00ab');
  });
});

describe('user', () => {
  const admin = (words: readonly string[], options: RunOptions = {}) =>
    rig.cli([...words, '--output', 'json'], options);

  it('create, set-roles, set-password and delete ask for what they say', async () => {
    await admin(['user', 'create', 'bob', '--role', 'viewer', 'apps', '--password-file', '-'], {
      stdin: 'secret of bob\r\n',
    });
    await admin(['user', 'set-roles', 'bob', '--role', 'viewer']);
    await admin(['user', 'set-password', 'bob', '--password-file', '-'], { stdin: 'another one' });
    await admin(['user', 'delete', 'bob']);
    expect(asked()).toEqual([
      ['createUser', { name: 'bob', password: 'secret of bob', roles: ['viewer', 'apps'] }],
      ['setUserRoles', { name: 'bob', roles: ['viewer'] }],
      ['setPassword', { name: 'bob', password: 'another one' }],
      ['deleteUser', { name: 'bob' }],
    ]);
  });

  it('create makes a password that nobody guesses, and shows it once', async () => {
    const { stdout } = await rig.cli(['user', 'create', 'bob', '--role', 'viewer', '--generate']);
    const password = stdout.toString().trim();
    expect(password).toMatch(/^(?:[a-z2-9]{7}-){3}[a-z2-9]{7}$/);
    expect(asked()).toEqual([['createUser', { name: 'bob', password, roles: ['viewer'] }]]);
  });

  it('create takes from a person only what he types twice', async () => {
    const words = ['user', 'create', 'bob', '--role', 'viewer'];
    expect((await admin(words, { typed: 'one\ntwo\n' })).status).toBe(2);
    expect(asked()).toEqual([]);
    expect((await admin(words, { typed: 'same\nsame\n' })).status).toBe(0);
    expect(asked()).toEqual([['createUser', { name: 'bob', password: 'same', roles: ['viewer'] }]]);
  });

  it('set-password without a name changes the own one, and forgets the session', async () => {
    await login();
    writeFileSync(rig.path('old'), PASSWORD);
    const words = ['user', 'set-password', '--old-password-file', rig.path('old'), '--password-file', '-'];
    expect((await cli(words, { stdin: 'new password' })).status).toBe(0);
    expect(asked().at(-1)).toEqual([
      'changePassword',
      { oldPassword: PASSWORD, newPassword: 'new password' },
    ]);
    expect(contexts().contexts[0]).not.toHaveProperty('token');
  });

  it('list has every field of every user', async () => {
    const user = { name: 'bob', roles: ['viewer'], createdMs: 1, changedMs: 2, createdBy: 'client admin' };
    rig.node.access.users.kept = [user];
    const { createdMs: _created, changedMs: _changed, ...shown } = user;
    expect(JSON.parse((await admin(['user', 'list'])).stdout.toString())).toEqual({
      users: [{ ...shown, created: '1970-01-01T00:00:00.001Z', changed: '1970-01-01T00:00:00.002Z' }],
    });
  });

  it('says of a password file that is not there, or far too long, what is wrong', async () => {
    const words = ['user', 'set-password', 'bob', '--password-file'];
    expect((await admin([...words, rig.path('nothing')])).stderr).toContain('FILE_UNREADABLE');
    writeFileSync(rig.path('long'), 'x'.repeat(2_000));
    expect((await admin([...words, rig.path('long')])).stderr).toContain('TOO_LARGE');
    expect((await admin([...words, '-'], { stdin: 'x'.repeat(2_000) })).stderr).toContain('TOO_LARGE');
  });
});
