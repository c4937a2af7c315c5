import { webcrypto } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { NodeConfiguration } from '../../src/node/configuration.ts';
import { initCluster } from '../../src/node/initCluster.ts';
import { joinNode } from '../../src/node/joinNode.ts';
import { openNode } from '../../src/node/openNode.ts';
import { copyKeys, type NodeFolder, NodeFolders } from './nodeFolder.ts';
import { refusalOf } from './refusal.ts';
import { until } from './until.ts';

let folders: NodeFolders;
beforeEach(() => {
  folders = new NodeFolders();
});
afterEach(async () => {
  await folders.close();
  expect(folders.fatal).toEqual([]);
});

const init = (configuration: NodeConfiguration) => initCluster(configuration, () => Promise.resolve());

/** All of a data directory but the lock. */
function contents({ configuration }: NodeFolder): string[] {
  if (!existsSync(configuration.dataDir)) return [];
  return readdirSync(configuration.dataDir).filter((name) => name !== 'lock');
}

describe('init', () => {
  it('makes keys, node and administrator, and none of it twice', async () => {
    const folder = await folders.folder('n1');
    const made = await init(folder.configuration);
    const { controlKeyPath, jwtSecretPath } = folder.configuration;
    expect(made.keyFiles).toEqual([controlKeyPath, jwtSecretPath]);
    expect(made.controlKeyFingerprint).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(made.admin.ca).toContain('BEGIN CERTIFICATE');
    const before = readFileSync(controlKeyPath);
    const again = await refusalOf(() => init(folder.configuration));
    expect(again).toMatchObject({ code: 'DATA_DIR_INVALID' });
    expect(again.hint).toContain('holdfast server');
    expect(readFileSync(controlKeyPath)).toEqual(before);
  });

  it('keeps no cluster whose administrator could not be kept', async () => {
    const folder = await folders.folder('n1');
    const failing = () => Promise.reject(new Error('no room'));
    await expect(initCluster(folder.configuration, failing)).rejects.toThrow('no room');
    expect(contents(folder)).toEqual([]);
    expect((await init(folder.configuration)).keyFiles).toEqual([]);
  });

  const bad: [string, (configuration: NodeConfiguration) => void][] = [
    ['short', ({ controlKeyPath }) => writeKey(controlKeyPath, Buffer.alloc(31, 1))],
    ['malformed', ({ controlKeyPath }) => writeFileSync(controlKeyPath, '{', { mode: 0o600 })],
    [
      'readable by others',
      ({ controlKeyPath }) => {
        writeKey(controlKeyPath, Buffer.alloc(32, 1));
        chmodSync(controlKeyPath, 0o644);
      },
    ],
  ];
  it.each(bad)('refuses a control key that is %s, and makes nothing', async (_what, spoil) => {
    const folder = await folders.folder('n1');
    spoil(folder.configuration);
    expect((await refusalOf(() => init(folder.configuration))).code).toBe('KEY_FILE_INVALID');
    expect(contents(folder)).toEqual([]);
    expect(existsSync(folder.configuration.jwtSecretPath)).toBe(false);
  });

  it('refuses a file of audit-sink under the data directory, and so do a join and each start', async () => {
    const path = join(folders.root, 'n1', 'data', 'audit.jsonl');
    const folder = await folders.folder('n1');
    const { configuration } = folder;
    const wrong: NodeConfiguration = { ...configuration, auditSink: { kind: 'file', path } };
    const refusal = { code: 'CONFIG_INVALID', field: 'audit-sink' };
    expect(await refusalOf(() => init(wrong))).toMatchObject(refusal);
    expect(await refusalOf(() => joinNode(wrong, 'no token'))).toMatchObject(refusal);
    expect(contents(folder)).toEqual([]);
    expect(existsSync(configuration.controlKeyPath)).toBe(false);
    await init(configuration);
    for (let start = 0; start < 2; start += 1)
      expect(await refusalOf(() => openNode(wrong, folder.logger))).toMatchObject(refusal);
    expect(existsSync(path)).toBe(false);
  });

  it('refuses key files under the data directory', async () => {
    const { root } = folders;
    const dataDir = join(root, 'n1', 'data');
    for (const flag of ['controlKeyPath', 'jwtSecretPath']) {
      const folder = await folders.folder('n1', { [flag]: join(dataDir, 'key.json') });
      expect((await refusalOf(() => init(folder.configuration))).code).toBe('KEY_FILE_INVALID');
      expect(contents(folder)).toEqual([]);
    }
  });

  it('refuses an empty control key of the environment, and does not show a wrong one', async () => {
    const folder = await folders.folder('n1');
    for (const key of ['', 'c2VjcmV0LWJ1dC1zaG9ydA==']) {
      const keyEnvironment = new Map([['HOLDFAST_CONTROL_KEY', key]]);
      const refusal = await refusalOf(() => init({ ...folder.configuration, keyEnvironment }));
      expect(refusal.code).toBe('CONFIG_INVALID');
      if (key !== '') expect(`${refusal.message}${refusal.hint}`).not.toContain(key);
    }
    expect(contents(folder)).toEqual([]);
  });
});

function writeKey(path: string, key: Buffer): void {
  const created = '2026-01-01T00:00:00.000Z';
  const keys = [
    { fingerprint: `sha256:${'0'.repeat(64)}`, key: key.toString('base64'), state: 'active', created },
  ];
  writeFileSync(path, JSON.stringify({ schema: 1, keys }), { mode: 0o600 });
}

it('a new cluster leaves no key of its CA in memory', async () => {
  const exported = vi.spyOn(webcrypto.subtle, 'exportKey');
  try {
    await folders.first('n1');
    const first = exported.mock.calls.findIndex(([format]) => format === 'pkcs8');
    const key = new Uint8Array((await exported.mock.results[first]?.value) as ArrayBuffer);
    expect([key.length > 100, key.every((byte) => byte === 0)]).toEqual([true, true]);
  } finally {
    exported.mockRestore();
  }
});

describe('a join', () => {
  it('needs the key files, and leaves the directory as it was without them', async () => {
    const folder = await folders.folder('n2');
    const refusal = await refusalOf(() => joinNode(folder.configuration, 'hf1.x'));
    expect(refusal.code).toBe('KEY_FILE_INVALID');
    expect(existsSync(folder.configuration.dataDir)).toBe(false);
    expect(existsSync(folder.configuration.controlKeyPath)).toBe(false);
  });

  it('refuses a bad token, a used one and a revoked one, and leaves nothing', async () => {
    const first = await folders.first('n1');
    const node = await folders.start(first);
    const client = await folders.client(first, [node]);
    await until(async () => (await client.cluster.status()).leader !== '', 'a leader');
    const { token } = await client.cluster.addToken({ role: 'learner' });
    const folder = await folders.folder('n2');
    copyKeys(first, folder);
    const revoked = await client.cluster.addToken({});
    await client.cluster.revokeToken({ id: revoked.token.split('.')[1] ?? '' });
    const malformed = await refusalOf(() => joinNode(folder.configuration, 'hf1.x'));
    const unknown = await refusalOf(() => joinNode(folder.configuration, revoked.token));
    expect([malformed.code, unknown.code]).toEqual(['TOKEN_MALFORMED', 'TOKEN_UNKNOWN']);
    expect(contents(folder)).toEqual([]);
    expect(await joinNode(folder.configuration, token)).toMatchObject({ role: 'learner' });
    const other = await folders.folder('n3');
    copyKeys(first, other);
    expect((await refusalOf(() => joinNode(other.configuration, token))).code).toBe('TOKEN_USED');
    expect(contents(other)).toEqual([]);
    await folders.start(folder);
    await client.put('k', 'v');
    const { members } = await client.cluster.status();
    expect(members.map(({ role }) => role).toSorted()).toEqual(['learner', 'voter']);
  });

  it('writes down the CAs that it was told of as of no state, and those of its own state once that holds it', async () => {
    const first = await folders.first('n1');
    const client = await folders.client(first, [await folders.start(first)]);
    await until(async () => (await client.cluster.status()).leader !== '', 'a leader');
    const folder = await folders.folder('n2');
    copyKeys(first, folder);
    await joinNode(folder.configuration, (await client.cluster.addToken({})).token);
    const authority = () =>
      readFileSync(join(folder.configuration.dataDir, 'trust', 'authority.pem'), 'utf8');
    expect(authority()).toMatch(/^as of log index 0\n/);
    await folders.start(folder);
    await until(() => authority().startsWith('as of log index 2\n'), 'the state of the new node decides');
  });
});

describe('encryption', () => {
  it('off: names and values lie readable on disk, secrets do not, and everything works', async () => {
    const first = await folders.first('n1', { encryption: 'off' });
    let node = await folders.start(first);
    const client = await folders.client(first, [node]);
    await until(async () => (await client.cluster.status()).leader !== '', 'a leader');
    await client.put('dashboards/main', 'a readable value');
    await folders.stop(node);
    const { dataDir } = first.configuration;
    expect(filesWith(join(dataDir, 'wal'), '{"text":"dashboards/main"}')).not.toEqual([]);
    expect(filesWith(join(dataDir, 'state'), 'a readable value')).not.toEqual([]);
    node = await folders.start(first);
    const again = await folders.client(first, [node]);
    expect((await again.get('dashboards/main')).item?.value.toString()).toBe('a readable value');
    expect((await again.cluster.status()).encryption).toBe('off');
  });

  it('on: nothing lies readable on disk; a node set otherwise warns, and cannot join', async () => {
    const first = await folders.first('n1');
    const differing = { ...first, configuration: { ...first.configuration, encryption: 'off' as const } };
    const node = await folders.start(differing);
    expect(first.logger.warnings.join()).toContain('encryption off');
    const client = await folders.client(first, [node]);
    const { warnings, encryption } = await client.cluster.status();
    expect(encryption).toBe('on');
    expect(warnings.join()).toContain('encryption off, the cluster has on');
    await until(async () => (await client.cluster.status()).leader !== '', 'a leader');
    await client.put('dashboards/main', 'a readable value');
    const { token } = await client.cluster.addToken({});
    const folder = await folders.folder('n2', { encryption: 'off' });
    copyKeys(first, folder);
    expect((await refusalOf(() => joinNode(folder.configuration, token))).code).toBe('ENCRYPTION_MISMATCH');
    expect(contents(folder)).toEqual([]);
    await folders.stop(node);
    for (const text of ['dashboards', 'readable value'])
      expect(filesWith(first.configuration.dataDir, text)).toEqual([]);
  });
});

/** Which files under a folder hold this text. */
function filesWith(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path).includes(text));
}

describe('two at once', () => {
  it('make one node in one directory', async () => {
    const folder = await folders.folder('n1');
    mkdirSync(folder.configuration.dataDir, { recursive: true });
    const both = await Promise.allSettled([init(folder.configuration), init(folder.configuration)]);
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    await folders.start(folder);
  });
});
