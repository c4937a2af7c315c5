import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock, systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import type { Finding } from '../../src/node/doctor/finding.ts';
import { damageText } from '../../src/store/stateMark.ts';
import { issueClientCertificate } from '../../src/trust/certificates.ts';
import { pemOf } from '../../src/trust/tls.ts';
import { freePort } from '../freePort.ts';
import { DAY_MS, newCluster, newNode } from '../trust/cluster.ts';
import { runHere } from './rig.ts';

/** A node made once; each test works on a copy. */
let made: string;
let ports: readonly [number, number];
let folder: string;
/** Of its control key. */
let fingerprint: string;
const CONFIRM = 'holdfast key confirm-backup --fingerprint';
const servers = new Set<net.Server>();

beforeAll(async () => {
  made = mkdtempSync(join(tmpdir(), 'holdfast-made-'));
  ports = [await freePort(), await freePort()];
  const ended = await runHere([
    'init',
    ...flags(made),
    '--context-file',
    join(made, 'context.json'),
    '--output',
    'json',
  ]);
  expect(ended.stderr).toBe('');
  const { controlKeyFingerprint } = JSON.parse(ended.stdout.toString()) as { controlKeyFingerprint: string };
  fingerprint = controlKeyFingerprint;
  const keyFlags = flags(made).slice(0, 4);
  const confirmed = await runHere(['key', 'confirm-backup', '--fingerprint', fingerprint, ...keyFlags]);
  expect(confirmed).toMatchObject({ status: 0, stderr: '' });
});
afterAll(() => rmSync(made, { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-doctor-'));
  // Doctor does not look into the log and the state, which are large.
  cpSync(made, folder, { recursive: true, filter: (path) => !/\/data\/(?:wal|state)$/.test(path) });
});
afterEach(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  servers.clear();
  rmSync(folder, { recursive: true, force: true });
});

async function listening(server: net.Server, port: number): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve);
  });
  return (server.address() as AddressInfo).port;
}

function flags(at: string): readonly string[] {
  return [
    ['--data-dir', join(at, 'data')],
    ['--control-key-path', join(at, 'control.json')],
    ['--jwt-secret-path', join(at, 'jwt.json')],
    ['--listen-api', `127.0.0.1:${ports[0]}`],
    ['--listen-peer', `127.0.0.1:${ports[1]}`],
  ].flat();
}

interface Report {
  readonly status: number | null;
  readonly findings: readonly Finding[];
}

async function doctor(
  options: { more?: readonly string[]; environment?: NodeJS.ProcessEnv } = {},
): Promise<Report> {
  const words = ['doctor', ...flags(folder), ...(options.more ?? []), '--output', 'json'];
  const environment = { HOLDFAST_CONFIG: join(folder, 'no-context.json'), ...options.environment };
  const { status, stdout, stderr } = await runHere(words, { environment });
  expect(stderr).toBe('');
  return { status, ...(JSON.parse(stdout.toString()) as { findings: Finding[] }) };
}

const at = (...names: string[]) => join(folder, ...names);

/** What is not well. */
const troubles = ({ findings }: Report) =>
  findings.filter(({ severity, check }) => severity !== 'ok' && !/^(disk|file system)$/.test(check));

describe('doctor', () => {
  it('finds nothing wrong with a fresh node, and changes nothing', async () => {
    const before = readdirSync(folder, { recursive: true });
    const report = await doctor();
    expect(troubles(report)).toEqual([]);
    expect(new Set(report.findings.map(({ check }) => check))).toEqual(
      new Set([
        'data directory',
        'control key',
        'JWT secret',
        'key backup',
        'keyring',
        'encryption',
        'certificate',
        'disk',
        'file system',
        'API port',
        'peer port',
        'clock',
        'context',
      ]),
    );
    expect(report.status).toBe(0);
    expect(readdirSync(folder, { recursive: true })).toEqual(before);
  });

  it('finds nothing wrong before there is a node', async () => {
    for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
    const report = await doctor();
    expect(troubles(report)).toEqual([]);
    expect(report.status).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each<[string, () => void, { check: string; severity?: Finding['severity']; mend: () => string }]>([
    [
      'a key file that others can read',
      () => chmodSync(at('control.json'), 0o644),
      { check: 'control key', mend: () => `chmod 0600 '${at('control.json')}'` },
    ],
    [
      'a missing key file',
      () => rmSync(at('control.json')),
      { check: 'control key', mend: () => `install -m 0600 COPY '${at('control.json')}'` },
    ],
    [
      'a JWT-secret file that others can read',
      () => chmodSync(at('jwt.json'), 0o604),
      { check: 'JWT secret', mend: () => `chmod 0600 '${at('jwt.json')}'` },
    ],
    [
      'a damaged key file',
      () => writeFileSync(at('jwt.json'), '{'),
      { check: 'JWT secret', mend: () => `install -m 0600 COPY '${at('jwt.json')}'` },
    ],
    [
      'a key of which no copy is confirmed',
      () => rmSync(at('control.json.backup-confirmed')),
      {
        check: 'key backup',
        severity: 'warning',
        mend: () => `${CONFIRM} FINGERPRINT_OF_THE_COPY --control-key-path '${at('control.json')}'`,
      },
    ],
    [
      'a copy that is of another key',
      () => writeFileSync(at('control.json.backup-confirmed'), `sha256:${'0'.repeat(64)}\n`),
      {
        check: 'key backup',
        severity: 'warning',
        mend: () => `${CONFIRM} FINGERPRINT_OF_THE_COPY --control-key-path '${at('control.json')}'`,
      },
    ],
    [
      'a record of the copy that cannot be read',
      () => {
        rmSync(at('control.json.backup-confirmed'));
        mkdirSync(at('control.json.backup-confirmed'));
      },
      { check: 'key backup', mend: () => `rm '${at('control.json.backup-confirmed')}'` },
    ],
    [
      'a data directory that others can enter',
      () => chmodSync(at('data'), 0o755),
      { check: 'data directory', severity: 'warning', mend: () => `chmod 0700 '${at('data')}'` },
    ],
    [
      'a damaged identity',
      () => writeFileSync(at('data', 'identity.json'), '{}'),
      { check: 'data directory', mend: () => `mv '${at('data')}' '${at('data')}.damaged'` },
    ],
    [
      'a damaged keyring',
      () => writeFileSync(at('data', 'keyring'), '{}'),
      { check: 'keyring', mend: () => `install -m 0600 COPY '${at('data', 'keyring')}'` },
    ],
    [
      'a missing certificate',
      () => rmSync(at('data', 'trust', 'node.pem')),
      { check: 'certificate', mend: () => `install -m 0644 COPY '${at('data', 'trust', 'node.pem')}'` },
    ],
    [
      'a state that was marked as damaged',
      () => mark(damageText({ kind: 'damaged', generation: 1, reason: 'a row is missing' })),
      { check: 'state', severity: 'warning', mend: () => 'holdfast server' },
    ],
    [
      'a state that differed',
      () => mkdirSync(at('data', 'state', 'diverged-1'), { recursive: true }),
      { check: 'state', severity: 'warning', mend: () => `rm -r '${at('data', 'state', 'diverged-1')}'` },
    ],
    [
      'a state that cannot be looked at',
      () => symlinkSync('state', at('data', 'state')),
      { check: 'state', mend: () => `namei -l '${at('data', 'state', 'current')}'` },
    ],
  ])('finds %s', async (_what, spoil, { check, severity = 'failure', mend }) => {
    spoil();
    const report = await doctor();
    expect(troubles(report)).toMatchObject([{ check, severity, mend: mend() }]);
    expect(report.status).toBe(severity === 'failure' ? 1 : 0);
  });

  function mark(pointer: string): void {
    mkdirSync(at('data', 'state'), { recursive: true });
    writeFileSync(at('data', 'state', 'current'), pointer);
  }

  it('finds a data directory that is a file', async () => {
    rmSync(at('data'), { recursive: true });
    writeFileSync(at('data'), '');
    expect(troubles(await doctor())).toMatchObject([
      { check: 'data directory', severity: 'failure', mend: `mv '${at('data')}' '${at('data')}.aside'` },
    ]);
  });

  it('names both fingerprints when the control key is another, and never the key', async () => {
    const key = 'ab'.repeat(32);
    const report = await doctor({ environment: { HOLDFAST_CONTROL_KEY: key } });
    const [trouble] = troubles(report);
    expect(trouble).toMatchObject({
      check: 'keyring',
      severity: 'failure',
      mend: 'unset HOLDFAST_CONTROL_KEY',
    });
    expect(trouble?.message.match(/sha256:[0-9a-f]{64}/g)).toHaveLength(2);
    expect(JSON.stringify(report)).not.toContain(key);
    expect(report.status).toBe(1);
  });

  it('warns of settings that differ from the cluster', async () => {
    const report = await doctor({ more: ['--encryption', 'off', '--name', 'other'] });
    expect(troubles(report).map(({ check, severity, mend }) => `${severity} ${check}: ${mend}`)).toEqual([
      'warning data directory: holdfast server --name n1',
      'warning encryption: holdfast server --encryption on',
    ]);
    expect(report.status).toBe(0);
  });

  it('refuses a key file under the data directory', async () => {
    cpSync(join(folder, 'control.json'), join(folder, 'data', 'control.json'));
    const report = await doctor({ more: ['--control-key-path', join(folder, 'data', 'control.json')] });
    const mend = `mv '${at('data', 'control.json')}' '${folder}/'`;
    expect(troubles(report)).toMatchObject([{ check: 'control key', severity: 'failure', mend }]);
    expect(troubles(report)[0]?.message).toContain('name its new place with --control-key-path');
  });

  it.each([
    ['HOLDFAST_CONTROL_KEY', { HOLDFAST_CONTROL_KEY: 'x' }],
    ['HOLDFAST_LEGACY_CONTROL_KEYS', { HOLDFAST_LEGACY_CONTROL_KEYS: 'x' }],
    ['HOLDFAST_JWT_SECRET', { HOLDFAST_JWT_SECRET: 'x' }],
  ])('tells to unset %s when that holds no key', async (variable, environment) => {
    expect(troubles(await doctor({ environment }))).toMatchObject([
      { severity: 'failure', mend: `unset ${variable}` },
    ]);
  });

  it('asks for the file of the right key when another is in its place', async () => {
    rmSync(at('control.json'));
    const jwt = ['--jwt-secret-path', at('other-jwt.json')];
    await runHere(['key', 'generate', '--control-key-path', at('control.json'), ...jwt]);
    expect(troubles(await doctor()).map(({ check, mend }) => `${check}: ${mend}`)).toEqual([
      expect.stringMatching(/^key backup: holdfast key confirm-backup --fingerprint FINGERPRINT_OF_THE_COPY/),
      `keyring: install -m 0600 COPY '${at('control.json')}'`,
    ]);
  });

  it('names an address that nobody can listen at', async () => {
    const report = await doctor({ more: ['--listen-api', '203.0.113.1:7440'] });
    expect(troubles(report)).toMatchObject([
      { check: 'API port', severity: 'failure', mend: 'holdfast server --listen-api HOST:PORT' },
    ]);
  });

  it('tells a port that another program has from a free one', async () => {
    const server = net.createServer((socket) => socket.destroy());
    servers.add(server);
    await listening(server, ports[1]);
    const report = await doctor();
    expect(troubles(report)).toMatchObject([
      {
        check: 'peer port',
        severity: 'failure',
        message: `127.0.0.1:${ports[1]} is taken by another program`,
        mend: `ss -ltnp 'sport = :${ports[1]}'`,
      },
    ]);
  });

  it('says in a sentence what mends it, to people', async () => {
    mkdirSync(join(folder, 'x'));
    chmodSync(join(folder, 'jwt.json'), 0o640);
    const environment = { HOLDFAST_CONFIG: join(folder, 'no-context.json') };
    const { stdout, status } = await runHere(['doctor', ...flags(folder)], { environment });
    expect(status).toBe(1);
    expect(stdout.toString()).toContain(`mend: chmod 0600 '${at('jwt.json')}'`);
    expect(stdout.toString()).toMatch(/\n1 failure, \d+ warnings?, 0 notices\n$/);
  });

  it('judges the certificates of node and client by how much of their lifetime is left', async () => {
    const config = at('context.json');
    const judged = async (endedMs: number) => {
      const clock = new ManualClock(systemClock.wallMs() - 30 * DAY_MS - endedMs);
      const cluster = await newCluster(clock);
      const lifetimeMs = 30 * DAY_MS;
      const { certificate } = await newNode(cluster, { clock, lifetimeMs });
      writeFileSync(at('data', 'trust', 'node.pem'), pemOf(certificate));
      const { authority, clusterId } = cluster;
      const issue = { authority, clusterId, name: 'admin', lifetimeMs, clock, random: systemRandom };
      const file = JSON.parse(readFileSync(config, 'utf8')) as { contexts: object[] };
      const client = { certificate: pemOf((await issueClientCertificate(issue)).certificate) };
      const contexts = file.contexts.map((context) => ({ ...context, ...client }));
      writeFileSync(config, JSON.stringify({ ...file, contexts }));
      const report = await doctor({ environment: { HOLDFAST_CONFIG: config } });
      return troubles(report)
        .filter(({ check }) => check !== 'cluster')
        .map(({ check, severity, mend }) => `${severity} ${check}: ${mend}`);
    };
    expect(await judged(-20 * DAY_MS)).toEqual([]);
    expect(await judged(-9 * DAY_MS)).toEqual([
      'warning certificate: holdfast server',
      'warning context: holdfast context renew',
    ]);
    expect(await judged(DAY_MS)).toEqual([
      'failure certificate: holdfast member remove n1',
      'failure context: holdfast context use NAME',
    ]);
  });

  it.each<[string, () => NodeJS.ProcessEnv, () => string]>([
    [
      'that others can read',
      () => {
        chmodSync(at('context.json'), 0o644);
        return {};
      },
      () => `chmod 0600 '${at('context.json')}'`,
    ],
    [
      'that is damaged',
      () => {
        writeFileSync(at('context.json'), '{');
        return {};
      },
      () => 'export HOLDFAST_CONFIG=FILE',
    ],
    ['that is not there', () => ({ HOLDFAST_CONTEXT: 'other' }), () => 'holdfast context list'],
  ])('finds a context %s', async (_what, spoil, mend) => {
    const environment = { HOLDFAST_CONFIG: at('context.json'), ...spoil() };
    const report = await doctor({ environment });
    expect(troubles(report)).toMatchObject([{ check: 'context', severity: 'failure', mend: mend() }]);
    expect(report.status).toBe(1);
  });

  it('goes on when no node answers, and says so', async () => {
    const report = await doctor({ environment: { HOLDFAST_CONFIG: join(folder, 'context.json') } });
    expect(troubles(report)).toMatchObject([{ check: 'cluster', severity: 'warning' }]);
    expect(report.status).toBe(0);
  });
});
