import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfiguration, type NodeConfiguration, nearest } from '../../src/node/configuration.ts';
import { environmentName, fileName, formatAddress, SETTINGS } from '../../src/node/settings.ts';
import { refusalOf } from './refusal.ts';

let folder: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-configuration-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function yaml(text: string): string {
  files += 1;
  const path = join(folder, `${files}.yaml`);
  writeFileSync(path, text);
  return path;
}

interface Given {
  readonly flags?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly file?: string;
}

function load({ flags = {}, environment = {}, file }: Given = {}): NodeConfiguration {
  return loadConfiguration({
    flags: new Map(Object.entries(flags)),
    environment,
    file: file === undefined ? null : yaml(file),
  });
}

describe('where a setting comes from', () => {
  it('has defaults for everything', () => {
    expect(load()).toEqual({
      dataDir: './data',
      name: 'n1',
      controlKeyPath: './secret-control.json',
      jwtSecretPath: './secret-jwt.json',
      listenApi: { host: '127.0.0.1', port: 7440 },
      listenPeer: { host: '127.0.0.1', port: 7441 },
      advertiseApi: { host: '127.0.0.1', port: 7440 },
      advertisePeer: { host: '127.0.0.1', port: 7441 },
      tlsSan: [],
      encryption: null,
      requestTimeoutMs: 5_000,
      diskReserveBytes: 256 * 1024 * 1024,
      scrubIntervalMs: 86_400_000,
      auditSink: null,
      auditSinkSecretPath: null,
      auditSinkRotateBytes: 100 * 1024 * 1024,
      logLevel: 'info',
      keyEnvironment: new Map(),
    });
  });

  it('prefers flag over environment over file over default', () => {
    const file = 'name: of-file\n';
    const environment = { HOLDFAST_NAME: 'of-environment' };
    expect(load({ file }).name).toBe('of-file');
    expect(load({ file, environment }).name).toBe('of-environment');
    expect(load({ file, environment, flags: { name: 'of-flag' } }).name).toBe('of-flag');
  });

  it('takes every setting from a file and from the environment', () => {
    const texts = {
      dataDir: '/d',
      name: 'n7',
      controlKeyPath: '/c',
      jwtSecretPath: '/j',
      listenApi: '0.0.0.0:1',
      listenPeer: '[::1]:2',
      advertiseApi: 'api.internal:3',
      advertisePeer: '[2001:db8::1]:4',
      tlsSan: 'a.internal,10.0.0.5',
      tls: 'on',
      encryption: 'off',
      requestTimeout: '30s',
      diskReserve: '64MiB',
      scrubInterval: '7d',
      auditSink: 'https://logs.internal:9200/audit?index=a',
      auditSinkSecretPath: '/s',
      auditSinkRotate: '2GiB',
      logLevel: 'warn',
    } satisfies Record<keyof typeof SETTINGS, string>;
    const names = Object.keys(SETTINGS) as (keyof typeof SETTINGS)[];
    const lines = names.map((name) => `${fileName(SETTINGS[name].flag)}: "${texts[name]}"`);
    const environment = Object.fromEntries(
      names.map((name) => [environmentName(SETTINGS[name].flag), texts[name]]),
    );
    const expected = {
      dataDir: '/d',
      listenPeer: { host: '::1', port: 2 },
      advertisePeer: { host: '2001:db8::1', port: 4 },
      tlsSan: ['a.internal', '10.0.0.5'],
      encryption: 'off',
      requestTimeoutMs: 30_000,
      diskReserveBytes: 64 * 1024 * 1024,
      scrubIntervalMs: 604_800_000,
      auditSink: { kind: 'http', url: 'https://logs.internal:9200/audit?index=a' },
      auditSinkSecretPath: '/s',
      auditSinkRotateBytes: 2 * 1024 ** 3,
    };
    expect(load({ file: lines.join('\n') })).toMatchObject(expected);
    expect(load({ environment })).toMatchObject(expected);
    expect(load({ flags: texts })).toMatchObject(expected);
  });

  it('reads on, off, numbers and lists of a file as they stand', () => {
    expect(load({ file: 'encryption: off\ntls: on\n' }).encryption).toBe('off');
    expect(load({ file: 'tls_san:\n  - a.internal\n  - 10.0.0.5\n' }).tlsSan).toEqual([
      'a.internal',
      '10.0.0.5',
    ]);
    expect(load({ file: 'name: 7\n' }).name).toBe('7');
    expect(load({ file: '# nothing\n' }).name).toBe('n1');
  });

  it('keeps keys of the environment, also empty ones, for those who check them', () => {
    const environment = {
      HOLDFAST_CONTROL_KEY: '',
      HOLDFAST_JWT_SECRET: 'x',
      HOLDFAST_TOKEN: 't',
      PATH: '/',
    };
    expect(load({ environment }).keyEnvironment).toEqual(
      new Map([
        ['HOLDFAST_CONTROL_KEY', ''],
        ['HOLDFAST_JWT_SECRET', 'x'],
      ]),
    );
  });
});

describe('what is refused', () => {
  const cases: [string, Given, { field: string; hint?: RegExp; message?: RegExp }][] = [
    ['an unknown flag', { flags: { dataDirectory: 'x' } }, { field: 'dataDirectory', hint: /dataDir\?/ }],
    [
      'an unknown variable',
      { environment: { HOLDFAST_DATADIR: 'x' } },
      { field: 'HOLDFAST_DATADIR', hint: /HOLDFAST_DATA_DIR/ },
    ],
    ['an unknown key', { file: 'listen_apy: a:1\n' }, { field: 'listen_apy', hint: /listen_api\?/ }],
    ['a key spelt as a flag', { file: 'data-dir: x\n' }, { field: 'data-dir', hint: /data_dir/ }],
    [
      'an empty variable',
      { environment: { HOLDFAST_NAME: '' } },
      { field: 'name', message: /HOLDFAST_NAME/ },
    ],
    ['an empty path', { environment: { HOLDFAST_DATA_DIR: '' } }, { field: 'data-dir' }],
    ['a bad duration', { flags: { requestTimeout: '5' } }, { field: 'request-timeout', hint: /30s/ }],
    ['a duration of a file', { file: 'request_timeout: 5\n' }, { field: 'request-timeout' }],
    ['a bad size', { flags: { diskReserve: '64MB' } }, { field: 'disk-reserve', hint: /256MiB/ }],
    ['a size without a unit', { file: 'disk_reserve: 64\n' }, { field: 'disk-reserve' }],
    ['a size below its range', { flags: { diskReserve: '15MiB' } }, { field: 'disk-reserve' }],
    ['a size above its range', { flags: { diskReserve: '1025GiB' } }, { field: 'disk-reserve' }],
    ['a duration below its range', { flags: { requestTimeout: '99ms' } }, { field: 'request-timeout' }],
    ['a duration above its range', { flags: { requestTimeout: '601s' } }, { field: 'request-timeout' }],
    ['port 0', { flags: { listenApi: 'localhost:0' } }, { field: 'listen-api', message: /--listen-api/ }],
    ['port 70000', { flags: { listenApi: 'localhost:70000' } }, { field: 'listen-api' }],
    ['a missing port', { flags: { listenApi: 'localhost' } }, { field: 'listen-api' }],
    ['a bare IPv6 address', { flags: { listenApi: '::1:7440' } }, { field: 'listen-api' }],
    ['a URL', { flags: { listenApi: 'http://localhost:1' } }, { field: 'listen-api' }],
    [
      'an address that is too long',
      { flags: { listenApi: `${'a'.repeat(300)}:1` } },
      { field: 'listen-api' },
    ],
    ['a host that is no name', { flags: { listenPeer: 'a_\n.b:1' } }, { field: 'listen-peer' }],
    ['a host with an empty label', { flags: { advertisePeer: 'a..b:1' } }, { field: 'advertise-peer' }],
    ['a wildcard to dial', { flags: { advertiseApi: '0.0.0.0:1' } }, { field: 'advertise-api' }],
    ['a wildcard spelt otherwise', { flags: { advertisePeer: '[0::0]:1' } }, { field: 'advertise-peer' }],
    ['a wildcard that nobody can dial', { flags: { listenPeer: '[::]:1' } }, { field: 'advertise-peer' }],
    [
      'one address twice',
      { flags: { listenApi: 'localhost:1', listenPeer: 'localhost:1' } },
      { field: 'listen-peer' },
    ],
    [
      'a wildcard on the same port',
      { flags: { listenApi: '0.0.0.0:1', advertiseApi: 'a:1', listenPeer: 'localhost:1' } },
      { field: 'listen-peer' },
    ],
    [
      'one advertised address twice',
      { flags: { advertiseApi: 'a:1', advertisePeer: 'a:1' } },
      { field: 'advertise-peer' },
    ],
    ['plain TCP', { flags: { tls: 'off' } }, { field: 'tls' }],
    ['another toggle', { flags: { encryption: 'yes' } }, { field: 'encryption' }],
    ['a name with capitals', { flags: { name: 'N1' } }, { field: 'name' }],
    ['a name that ends in a hyphen', { flags: { name: 'n-' } }, { field: 'name' }],
    ['an empty host in a list', { flags: { tlsSan: 'a,,b' } }, { field: 'tls-san' }],
    ['too many hosts', { flags: { tlsSan: Array(25).fill('a').join(',') } }, { field: 'tls-san' }],
    [
      'a sink that is none',
      { flags: { auditSink: 'audit.jsonl' } },
      { field: 'audit-sink', hint: /file:\/PATH/, message: /--audit-sink/ },
    ],
    ['a sink with a password', { flags: { auditSink: 'https://a:b@c/' } }, { field: 'audit-sink' }],
    ['a small rotation', { flags: { auditSinkRotate: '1023KiB' } }, { field: 'audit-sink-rotate' }],
    [
      'a key that signs nothing',
      { flags: { auditSink: 'file:/a', auditSinkSecretPath: '/s' } },
      { field: 'audit-sink-secret-path' },
    ],
    ['a boolean', { file: 'encryption: true\n' }, { field: 'encryption', hint: /quotes/ }],
    ['a value left out', { file: 'name:\n' }, { field: 'name' }],
    ['a mapping', { file: 'name: {a: b}\n' }, { field: 'name' }],
    ['a list of numbers', { file: 'tls_san: [1, 2]\n' }, { field: 'tls_san' }],
    ['a key twice', { file: 'name: a\nname: b\n' }, { field: 'config' }],
    ['an alias', { file: 'name: &x a\ndata_dir: *x\n' }, { field: 'config' }],
    ['a file that is a list', { file: '- a\n' }, { field: 'config' }],
    ['a file that is no YAML', { file: 'name: "a\n' }, { field: 'config' }],
  ];
  it.each(cases)('%s', async (_what, given, { field, hint, message }) => {
    const refusal = await refusalOf(() => load(given));
    expect(refusal).toMatchObject({ code: 'CONFIG_INVALID', field });
    if (hint !== undefined) expect(refusal.hint).toMatch(hint);
    if (message !== undefined) expect(refusal.message).toMatch(message);
  });

  it('a file that is not there', async () => {
    const file = join(folder, 'none.yaml');
    const refusal = await refusalOf(() => loadConfiguration({ flags: new Map(), environment: {}, file }));
    expect(refusal).toMatchObject({ code: 'CONFIG_INVALID', field: 'config' });
    expect(refusal.message).toContain('does not exist');
  });
});

describe('names and addresses', () => {
  it('finds the nearest name', () => {
    expect(nearest('lisen-api', ['listen-peer', 'listen-api', 'name'])).toBe('listen-api');
    expect(nearest('', ['abc', 'a'])).toBe('a');
  });

  it('shows addresses as they are dialled', () => {
    expect(formatAddress({ host: '::1', port: 1 })).toBe('[::1]:1');
    expect(formatAddress({ host: 'a', port: 1 })).toBe('a:1');
  });
});
