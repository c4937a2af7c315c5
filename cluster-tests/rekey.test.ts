import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { KeyChangeStatus } from '../src/client/index.ts';
import type { ControlKey } from '../src/envelope/controlKey.ts';
import type { KeyId } from '../src/envelope/format.ts';
import { openKeyring } from '../src/envelope/keyringForm.ts';
import { loadControlKeys } from '../src/envelope/keySources.ts';
import { scanForEnvelopes } from '../src/node/keyChange/scan.ts';
import { type CommandResult, holdfast, LocalCluster, nodeFlags } from './localCluster.ts';
import { until } from './until.ts';

const KEYS = 300;
const WITHIN_MS = 60_000;

let cluster: LocalCluster;
beforeEach(async () => {
  cluster = await LocalCluster.form(3);
  const client = await cluster.client();
  for (let i = 0; i < KEYS; i += 1) await client.put(`key/${i}`, valueOf(i));
  await client.close();
}, 120_000);
afterEach(() => cluster.destroy());

const valueOf = (i: number): string => `${i} `.repeat(100);

/** Runs a command of the administrator. */
function cli(...args: string[]): Promise<CommandResult> {
  return holdfast(args, { environment: { HOLDFAST_CONFIG: cluster.contextPath } });
}

function keysIn(path: string): readonly ControlKey[] {
  return loadControlKeys({ path, dataDir: join(cluster.dir, 'nowhere'), env: {} }).all;
}

const fingerprintsIn = (path: string): string[] => keysIn(path).map(({ fingerprint }) => fingerprint);

function storedKeyring(name: string): Buffer {
  return readFileSync(join(cluster.node(name).dataDir, 'keyring'));
}

/** The data keys that a node's keyring has now. */
function keyIds(name: string): readonly KeyId[] {
  return [...openKeyring(storedKeyring(name), keysIn(cluster.node(name).controlKeyPath)).keys.keys()];
}

async function change(): Promise<KeyChangeStatus | null> {
  const statuses = await cluster.statuses();
  return (statuses.find(({ role }) => role === 'leader') ?? statuses[0])?.keyChange ?? null;
}

/** Every member has proved a new key. */
async function isProved(): Promise<boolean> {
  const { newFingerprint = '', members = [] } = (await change()) ?? {};
  return newFingerprint !== '' && members.length === 3 && members.every(({ proved }) => proved);
}

async function expectAllThere(): Promise<void> {
  const client = await cluster.client();
  for (let i = 0; i < KEYS; i += 1)
    expect((await client.get(`key/${i}`)).item?.value.toString(), `key/${i}`).toBe(valueOf(i));
  await client.close();
  expect(new Set(await cluster.equalDigests()).size).toBe(1);
}

it('rekey on real nodes: afterwards the old key opens nothing on any disk, and the new one everything', async () => {
  const { controlKeyPath } = cluster.node('n1');
  const [old] = keysIn(controlKeyPath);
  const oldKeyIds = new Set(keyIds('n1'));
  const before = readFileSync(controlKeyPath);
  const [copy, escrow] = [join(cluster.dir, 'copy.json'), join(cluster.dir, 'escrow.json')];
  const flags = ['--control-key-path', controlKeyPath, '--data-dir', cluster.node('n1').dataDir];
  const result = await cli('cluster', 'rekey', '--save-key', copy, '--escrow', escrow, '--wait', ...flags);
  expect(result).toMatchObject({ code: 0 });
  expect(result.stdout.toString()).toMatch(/^rekey: finished; \d+ re-wrapped, 0 still under legacy keys\n/);
  const [made] = fingerprintsIn(copy);
  expect(result.stderr).toContain(`wrote the new control key, ${made}, to ${copy}`);
  for (const path of [copy, escrow]) expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(fingerprintsIn(escrow)).toEqual([old?.fingerprint]);
  expect(made).not.toBe(old?.fingerprint);
  await until(WITHIN_MS, 'the old control key is in no file', () =>
    cluster.nodes.every((node) => fingerprintsIn(node.controlKeyPath).join() === made),
  );
  await expectAllThere();
  await cluster.stopAll();
  for (const { name, dataDir } of cluster.nodes) {
    expect(await scanForEnvelopes(dataDir, { keyIds: oldKeyIds, suite: null })).toEqual({
      count: 0,
      paths: [],
    });
    expect(() => openKeyring(storedKeyring(name), keysIn(escrow))).toThrow(/wrapped by another control key/);
    // With the old key file the node does not start, and changes nothing.
    writeFileSync(cluster.node(name).controlKeyPath, before, { mode: 0o600 });
    const refused = await holdfast(['server', ...nodeFlags(cluster.node(name))]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('CONTROL_KEY_MISMATCH')]);
    writeFileSync(cluster.node(name).controlKeyPath, readFileSync(copy), { mode: 0o600 });
  }
  cluster.startAll();
  await cluster.untilVoters(3);
  await expectAllThere();
}, 180_000);

it('a rekey waits for a member that is down, names it, and goes on when it is back', async () => {
  const down = (await cluster.leader()) === 'n3' ? 'n2' : 'n3';
  await cluster.stop(down);
  expect(await cli('cluster', 'rekey')).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('--save-key') as string,
  });
  await until(WITHIN_MS, `it is held up by ${down}`, async () =>
    ((await change())?.problems ?? []).some(({ name }) => name === down),
  );
  const status = await cli('cluster', 'rekey', '--status');
  expect(status.stderr).toContain(`held up: ${down}: `);
  cluster.start(down);
  await until(WITHIN_MS, 'every member has proved the key', isProved);
  const { controlKeyPath, dataDir } = cluster.node('n1');
  const flags = ['--control-key-path', controlKeyPath, '--data-dir', dataDir];
  const wrong = await cli('cluster', 'rekey', '--accept-fingerprint', `sha256:${'0'.repeat(64)}`, ...flags);
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('CONTROL_KEY_MISMATCH')]);
  const fingerprint = (await change())?.newFingerprint ?? '';
  expect(
    await cli('cluster', 'rekey', '--accept-fingerprint', fingerprint, '--wait', ...flags),
  ).toMatchObject({ code: 0 });
  await expectAllThere();
}, 180_000);

it('an aborted rekey leaves no trace in any key file', async () => {
  const before = cluster.nodes.map((node) => readFileSync(node.controlKeyPath));
  await cli('cluster', 'rekey');
  await until(WITHIN_MS, 'every member has proved the key', isProved);
  expect(fingerprintsIn(cluster.node('n2').controlKeyPath)).toHaveLength(2);
  expect(await cli('cluster', 'rekey', '--abort')).toMatchObject({ code: 0 });
  await until(WITHIN_MS, 'the key files are as before', () =>
    cluster.nodes.every((node, at) =>
      readFileSync(node.controlKeyPath).equals(before[at] ?? Buffer.alloc(0)),
    ),
  );
  await expectAllThere();
}, 120_000);

it('any leader goes on with a rekey: leaders are killed in every phase', async () => {
  const [old] = fingerprintsIn(cluster.node('n1').controlKeyPath);
  const client = await cluster.client(undefined, WITHIN_MS);
  const { id } = await client.cluster.beginKeyChange({ kind: 'rekey', source: 'file' });
  const killedIn: string[] = [];
  const killLeader = async (): Promise<void> => {
    const leader = await cluster.leader();
    killedIn.push((await change())?.phase ?? '');
    await cluster.kill(leader);
    cluster.start(leader);
    await cluster.leader();
  };
  await killLeader();
  await until(WITHIN_MS, 'every member has proved the key', isProved);
  await killLeader();
  await until(WITHIN_MS, 'every member has proved the key', isProved);
  const { newFingerprint = '' } = (await change()) ?? {};
  await client.cluster.confirmKeyChange({ id, newFingerprint });
  await until(WITHIN_MS, 'the key is in force', async () => (await change())?.phase !== 'preparing');
  for (let kills = 0; (await change())?.phase !== 'finished'; kills += 1) {
    expect(kills).toBeLessThan(20);
    await killLeader();
  }
  expect(killedIn).toEqual(expect.arrayContaining(['preparing', 'rewriting']));
  await client.close();
  await until(WITHIN_MS, 'the old control key is in no file', () =>
    cluster.nodes.every((node) => !fingerprintsIn(node.controlKeyPath).includes(old ?? '')),
  );
  await expectAllThere();
}, 240_000);

/** Another process of every node, one after the other, with these keys in its environment. */
async function restartEach(environment: NodeJS.ProcessEnv): Promise<void> {
  for (const [at, { name }] of cluster.nodes.entries()) {
    await cluster.stop(name);
    const node = cluster.node(name);
    cluster.nodes[at] = { ...node, launch: { environment } };
    cluster.start(name);
    await cluster.untilVoters(3);
    expect((await cluster.statuses()).flatMap(({ fenced = [] }) => fenced)).toEqual([]);
  }
}

it('a rekey with keys from the environment: a rolling restart with both, and another with the new one', async () => {
  const { controlKeyPath } = cluster.node('n1');
  const stored = JSON.parse(readFileSync(controlKeyPath, 'utf8')) as { keys: { key: string }[] };
  const oldKey = stored.keys[0]?.key ?? '';
  const newKey = randomBytes(32).toString('hex');
  const oldKeyIds = new Set(keyIds('n1'));
  await restartEach({ HOLDFAST_CONTROL_KEY: newKey, HOLDFAST_LEGACY_CONTROL_KEYS: oldKey });
  const asked = ['key', 'fingerprint', '--output', 'json', ...keyFlags()];
  const { jwtSecretPath } = cluster.node('n1');
  const told = await holdfast([...asked, '--jwt-secret-path', jwtSecretPath], {
    environment: { HOLDFAST_CONTROL_KEY: newKey },
  });
  expect(told).toMatchObject({ code: 0, stderr: '' });
  const { controlKeyFingerprint: fingerprint } = JSON.parse(told.stdout.toString()) as {
    controlKeyFingerprint: string;
  };
  const begun = await cli('cluster', 'rekey', '--provided', ...keyFlags());
  expect(begun.stderr).toContain('--accept-fingerprint sha256:…');
  const wrong = `sha256:${'0'.repeat(64)}`;
  expect(
    await cli('cluster', 'rekey', '--provided', '--accept-fingerprint', wrong, ...keyFlags()),
  ).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('CONTROL_KEY_MISMATCH') as string,
  });
  const accept = ['--provided', '--accept-fingerprint', fingerprint, '--wait'];
  expect(await cli('cluster', 'rekey', ...accept, ...keyFlags())).toMatchObject({ code: 0 });
  await restartEach({ HOLDFAST_CONTROL_KEY: newKey });
  await expectAllThere();
  await cluster.stopAll();
  for (const { dataDir } of cluster.nodes) {
    const left = await scanForEnvelopes(dataDir, { keyIds: oldKeyIds, suite: null });
    expect(left).toEqual({ count: 0, paths: [] });
  }
}, 240_000);

it('a rekey waits for a member to which the operator has not given the new key', async () => {
  const { controlKeyPath } = cluster.node('n1');
  const stored = JSON.parse(readFileSync(controlKeyPath, 'utf8')) as { keys: { key: string }[] };
  const oldKey = stored.keys[0]?.key ?? '';
  const environment = {
    HOLDFAST_CONTROL_KEY: randomBytes(32).toString('hex'),
    HOLDFAST_LEGACY_CONTROL_KEYS: oldKey,
  };
  await restartEach(environment);
  const follower = (await cluster.leader()) === 'n3' ? 'n2' : 'n3';
  const at = cluster.nodes.findIndex(({ name }) => name === follower);
  await cluster.stop(follower);
  cluster.nodes[at] = {
    ...cluster.node(follower),
    launch: { environment: { HOLDFAST_CONTROL_KEY: oldKey } },
  };
  cluster.start(follower);
  await cluster.untilVoters(3);
  await cli('cluster', 'rekey', '--provided', ...keyFlags());
  await until(WITHIN_MS, `it is held up by ${follower}`, async () =>
    ((await change())?.problems ?? []).some(
      ({ name, code, hint }) =>
        name === follower && code === 'CONTROL_KEY_MISMATCH' && hint.includes('HOLDFAST_CONTROL_KEY'),
    ),
  );
  expect((await change())?.phase).toBe('preparing');
  await cluster.stop(follower);
  cluster.nodes[at] = { ...cluster.node(follower), launch: { environment } };
  cluster.start(follower);
  await until(WITHIN_MS, 'every member has proved the key', isProved);
}, 240_000);

function keyFlags(): readonly string[] {
  const { controlKeyPath, dataDir } = cluster.node('n1');
  return ['--control-key-path', controlKeyPath, '--data-dir', dataDir];
}
