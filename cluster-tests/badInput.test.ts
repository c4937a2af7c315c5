import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../src/base/limits.ts';
import {
  type ClusterNode,
  type CommandResult,
  holdfast,
  LocalCluster,
  newNode,
  nodeFlags,
  PROGRAM,
} from './localCluster.ts';
import { secretsOf } from './secrets.ts';
import { until } from './until.ts';

let cluster: LocalCluster;
/** A member that is not running: its folders are free for experiments. */
let idle: ClusterNode;

beforeAll(async () => {
  cluster = await LocalCluster.form(3);
  const client = await cluster.client();
  for (let i = 0; i < 200; i += 1) await client.put(`seed/${i}`, `value ${i} `.repeat(50));
  await client.close();
  await cluster.equalDigests();
  await cluster.stop('n3');
  idle = cluster.node('n3');
}, 120_000);

afterAll(async () => {
  await cluster?.destroy();
});

interface Refusal {
  readonly code: number | null;
  readonly error: string;
  readonly message: string;
  readonly hint: string;
}

/** Runs a command that must be refused; the last line on stderr is the error as JSON. */
async function refusal(
  args: readonly string[],
  options: { environment?: NodeJS.ProcessEnv; stdin?: string } = {},
): Promise<Refusal> {
  const result = await holdfast([...args, '--output', 'json'], options);
  expect(result.stdout.toString()).toBe('');
  return parseRefusal(result);
}

function parseRefusal({ code, stderr }: CommandResult): Refusal {
  const last = stderr.trimEnd().split('\n').at(-1) ?? '';
  const { error } = JSON.parse(last) as { error: { code: string; message: string; hint: string } };
  expect(error.message).not.toBe('');
  return { code, error: error.code, message: error.message, hint: error.hint };
}

/** The flags of the idle node, with some replaced. */
function serverFlags(changes: Readonly<Record<string, string>> = {}): readonly string[] {
  const flags = ['server', ...nodeFlags(idle)];
  for (const [flag, value] of Object.entries(changes)) flags[flags.indexOf(flag) + 1] = value;
  return flags;
}

describe('settings', () => {
  it.each([
    ['a bad duration', ['--request-timeout', '5'], /not a duration/],
    ['a port that cannot be', ['--listen-api', '127.0.0.1:70000'], /port/],
    ['an address that nobody can dial', ['--advertise-api', '0.0.0.0:7440'], /cannot be dialled/],
    ['a value that is no choice', ['--encryption', 'maybe'], /one of on, off/],
  ])('refuses %s', async (_what, flags, message) => {
    const refused = await refusal(['server', ...flags]);
    expect(refused).toMatchObject({ code: 2, error: 'CONFIG_INVALID' });
    expect(refused.message).toMatch(message);
  });

  it('refuses an unknown setting in a file and in the environment, with the nearest name', async () => {
    const file = join(cluster.dir, 'settings.yaml');
    writeFileSync(file, 'data_dri: /tmp/x\n');
    const inFile = await refusal(['server', '--config', file]);
    expect(inFile).toMatchObject({ code: 2, error: 'CONFIG_INVALID', hint: 'did you mean data_dir?' });
    const inEnvironment = await refusal(['server'], { environment: { HOLDFAST_DATA_DRI: 'x' } });
    expect(inEnvironment).toMatchObject({
      code: 2,
      error: 'CONFIG_INVALID',
      hint: 'did you mean HOLDFAST_DATA_DIR?',
    });
  });

  it('refuses an unknown flag and an unknown command with exit 2', async () => {
    expect((await holdfast(['server', '--data-dri', 'x'])).code).toBe(2);
    expect((await holdfast(['sever'])).code).toBe(2);
  });
});

describe('a node that must not start', () => {
  it('says whose port is taken, and leaves the data directory free', async () => {
    const blocker = createServer();
    const [host, port] = idle.apiAddress.split(':');
    blocker.listen(Number(port), host);
    await once(blocker, 'listening');
    expect(await refusal(serverFlags())).toMatchObject({ code: 1, error: 'PORT_IN_USE' });
    blocker.close();
    const taken = cluster.node('n1').peerAddress;
    expect(await refusal(serverFlags({ '--listen-peer': taken }))).toMatchObject({
      code: 1,
      error: 'PORT_IN_USE',
    });
  });

  it('refuses a data directory that is in use, that holds no node, or that is not empty', async () => {
    const running = cluster.node('n1').dataDir;
    expect(await refusal(serverFlags({ '--data-dir': running }))).toMatchObject({
      code: 1,
      error: 'DATA_DIR_INVALID',
    });
    const empty = join(cluster.dir, 'empty');
    mkdirSync(empty);
    expect(await refusal(serverFlags({ '--data-dir': empty }))).toMatchObject({
      code: 1,
      error: 'DATA_DIR_INVALID',
    });
    const occupied = join(cluster.dir, 'occupied');
    mkdirSync(occupied);
    writeFileSync(join(occupied, 'precious'), 'x');
    const init = [
      'init',
      ...serverFlags({ '--data-dir': occupied }).slice(1),
      '--context-file',
      join(cluster.dir, 'other.json'),
    ];
    expect(await refusal(init)).toMatchObject({ code: 1, error: 'DATA_DIR_INVALID' });
    expect(readdirSync(occupied)).toEqual(['precious']);
  });

  it('refuses a data directory that was put together from two clusters', async () => {
    const other = await newNode(cluster.dir, 'other');
    await cluster.expectDone([
      'init',
      ...nodeFlags(other),
      '--context-file',
      join(cluster.dir, 'other.json'),
    ]);
    const mixed = join(cluster.dir, 'mixed');
    cpSync(idle.dataDir, mixed, { recursive: true });
    copyFileSync(join(other.dataDir, 'identity.json'), join(mixed, 'identity.json'));
    const refused = await refusal(serverFlags({ '--data-dir': mixed }));
    expect(refused).toMatchObject({ code: 1, error: 'CLUSTER_MISMATCH' });
    // The whole directory of one cluster with the key of another.
    const wrongKey = await refusal(serverFlags({ '--control-key-path': other.controlKeyPath }));
    expect(wrongKey).toMatchObject({ code: 1, error: 'CONTROL_KEY_MISMATCH' });
    expect(wrongKey.message).toMatch(/sha256:[0-9a-f]{64}.*sha256:[0-9a-f]{64}/s);
  });

  it.each([
    ['missing', (path: string) => rmSync(path)],
    [
      'short',
      (path: string) =>
        writeFileSync(
          path,
          '{"schema":1,"keys":[{"fingerprint":"x","key":"AAAA","state":"active","created":"x"}]}',
        ),
    ],
    ['readable by others', (path: string) => chmodSync(path, 0o644)],
  ])('refuses a control-key file that is %s', async (_what, spoil) => {
    const path = join(cluster.dir, 'spoilt.json');
    rmSync(path, { force: true });
    copyFileSync(idle.controlKeyPath, path);
    chmodSync(path, 0o600);
    spoil(path);
    const refused = await refusal(serverFlags({ '--control-key-path': path }));
    expect(refused).toMatchObject({ code: 1, error: 'KEY_FILE_INVALID' });
    expect(refused.hint).not.toBe('');
  });

  it('refuses a control-key file under the data directory', async () => {
    const path = join(idle.dataDir, 'secret-control.json');
    copyFileSync(idle.controlKeyPath, path);
    chmodSync(path, 0o600);
    expect(await refusal(serverFlags({ '--control-key-path': path }))).toMatchObject({
      code: 1,
      error: 'KEY_FILE_INVALID',
    });
    rmSync(path);
  });

  // A damaged state is rebuilt from the others, and a damaged log mended by the leader: damagedState.test.ts.
  it('refuses a damaged log whose watermark is gone', async () => {
    const copy = join(cluster.dir, 'damaged-wal');
    cpSync(idle.dataDir, copy, { recursive: true });
    damage(join(copy, 'wal'));
    rmSync(join(copy, 'wal', 'watermark'));
    const refused = await refusal(serverFlags({ '--data-dir': copy }));
    expect(refused).toMatchObject({ code: 1, error: 'LOG_CORRUPT' });
  });
});

/** Flips a bit in the middle of what was written to the largest file below a folder. */
function damage(folder: string): void {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted((left, right) => statSync(right).size - statSync(left).size);
  const path = files[0] ?? '';
  const bytes = readFileSync(path);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  bytes[end >> 1] = (bytes[end >> 1] ?? 0) ^ 0x10;
  writeFileSync(path, bytes);
}

describe('a key file that is changed under a running node', () => {
  it('is told of by status, and by both names when the node is started again', async () => {
    const { controlKeyPath } = cluster.node('n2');
    const copy = join(cluster.dir, 'copy-of-the-key.json');
    renameSync(controlKeyPath, copy);
    const other = await newNode(cluster.dir, 'n11');
    await secretsOf(other, { make: true });
    copyFileSync(other.controlKeyPath, controlKeyPath);
    const told =
      /control\.json does not hold the control key in force; .* put the copy of control key sha256:[0-9a-f]{64} in its place/;
    await until(2 * LIMITS.keyFileCheckMs, 'status to tell of it', async () => {
      const { warnings } = (await cluster.statuses()).find(({ name }) => name === 'n2') ?? { warnings: [] };
      return warnings.some((warning) => told.test(warning));
    });
    await cluster.stop('n2');
    const refused = await refusal(['server', ...nodeFlags(cluster.node('n2'))]);
    expect(refused).toMatchObject({ code: 1, error: 'CONTROL_KEY_MISMATCH' });
    expect(refused.message).toMatch(/sha256:[0-9a-f]{64}.*sha256:[0-9a-f]{64}/s);
    renameSync(copy, controlKeyPath);
    cluster.start('n2');
    await cluster.leader();
  });
});

describe('a node that must not join', () => {
  it('refuses mistyped, used and expired tokens, and writes nothing', async () => {
    const node = await newNode(cluster.dir, 'n9');
    copyFileSync(idle.controlKeyPath, node.controlKeyPath);
    copyFileSync(idle.jwtSecretPath, node.jwtSecretPath);
    const client = await cluster.client(['n1', 'n2']);
    const { token } = await client.cluster.addToken();
    const { token: shortLived } = await client.cluster.addToken({ ttlMs: 1_000 });
    const joinWith = (text: string) =>
      refusal(['join', '--token-file', '-', ...nodeFlags(node)], { stdin: text });
    expect(await joinWith(token.replace(/.$/, (last) => (last === 'a' ? 'b' : 'a')))).toMatchObject({
      code: 1,
      error: 'TOKEN_MALFORMED',
    });
    expect(await joinWith('nonsense')).toMatchObject({ code: 1, error: 'TOKEN_MALFORMED' });
    const expiresMs = performance.now() + 1_500;
    await until(10_000, 'the token to expire', () => performance.now() > expiresMs);
    expect(await joinWith(shortLived)).toMatchObject({ code: 1, error: 'TOKEN_EXPIRED' });
    expect(existsSync(join(node.dataDir, 'identity.json'))).toBe(false);
    expect(readdirSync(node.dataDir).filter((name) => name !== 'lock')).toEqual([]);

    await cluster.expectDone(['join', '--token-file', '-', ...nodeFlags(node)], token);
    const second = await newNode(cluster.dir, 'n10');
    copyFileSync(idle.controlKeyPath, second.controlKeyPath);
    copyFileSync(idle.jwtSecretPath, second.jwtSecretPath);
    const again = await refusal(['join', '--token-file', '-', ...nodeFlags(second)], { stdin: token });
    expect(again).toMatchObject({ code: 1, error: 'TOKEN_USED' });
    await client.cluster.remove({ member: 'n9' });
    await client.close();
  });
});

describe('a client', () => {
  const asAdmin = (): NodeJS.ProcessEnv => ({
    HOLDFAST_CONFIG: cluster.contextPath,
    HOLDFAST_ENDPOINTS: cluster.node('n1').apiAddress,
  });

  it('of another cluster is refused', async () => {
    const environment = {
      HOLDFAST_CONFIG: join(cluster.dir, 'other.json'),
      HOLDFAST_ENDPOINTS: cluster.node('n1').apiAddress,
    };
    const refused = await refusal(['kv', 'get', 'seed/1'], { environment });
    expect(refused.code).toBe(1);
    expect(['CERTIFICATE_INVALID', 'UNAVAILABLE', 'UNAUTHENTICATED', 'DEADLINE_EXCEEDED']).toContain(
      refused.error,
    );
    expect(refused.message).toMatch(/certificate/i);
  });

  it('is told what a key and a value may be', async () => {
    const long = await refusal(['kv', 'put', 'k'.repeat(1_025), 'x'], { environment: asAdmin() });
    expect(long).toMatchObject({ code: 1 });
    expect(long.message).toMatch(/1024|1,024/);
    const edge = await holdfast(['kv', 'put', 'k'.repeat(1_024), 'x'], { environment: asAdmin() });
    expect(edge.code).toBe(0);
  });

  it('imports all or says why not before anything is written', async () => {
    const folder = join(cluster.dir, 'import');
    mkdirSync(folder);
    writeFileSync(join(folder, 'good'), 'good');
    writeFileSync(join(folder, 'large'), Buffer.alloc(2 * 1024 * 1024 + 1));
    expect(
      await refusal(['kv', 'import', folder, '--prefix', 'imported/'], { environment: asAdmin() }),
    ).toMatchObject({ code: 1, error: 'TOO_LARGE' });
    rmSync(join(folder, 'large'));
    symlinkSync('/nowhere', join(folder, 'dangling'));
    // A link is not followed, and named.
    const imported = await holdfast(['kv', 'import', folder, '--prefix', 'links/', '--output', 'json'], {
      environment: asAdmin(),
    });
    expect(JSON.parse(imported.stdout.toString())).toMatchObject({
      keys: 1,
      leftOut: [join(folder, 'dangling')],
    });
    const listed = await holdfast(['kv', 'list', 'imported/', '--output', 'json'], {
      environment: asAdmin(),
    });
    expect(listed.stdout.toString()).not.toMatch(/imported/);
  });

  it('may close its ears', async () => {
    const child = spawn('bash', ['-c', `"${process.execPath}" "${PROGRAM}" kv list; echo "exit $?" >&2`], {
      env: { ...process.env, ...asAdmin() },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await once(child, 'close');
    expect(said.trim().split('\n').at(-1)).toBe('exit 0');
  });
});
