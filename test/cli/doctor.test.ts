import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../src/node/doctor/finding.ts';
import { runHere } from './rig.ts';

/** A node made once; each test works on a copy. */
let made: string;
let ports: readonly [number, number];
let folder: string;
const servers = new Set<net.Server>();

beforeAll(async () => {
  made = mkdtempSync(join(tmpdir(), 'holdfast-made-'));
  ports = [await freePort(), await freePort()];
  const ended = await runHere(['init', ...flags(made), '--context-file', join(made, 'context.json')]);
  expect(ended.stderr).toBe('');
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

async function freePort(): Promise<number> {
  const server = net.createServer();
  const port = await listening(server, 0);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

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

  it.each<[string, () => void, Partial<Finding>]>([
    [
      'a key file that others can read',
      () => chmodSync(join(folder, 'control.json'), 0o644),
      { check: 'control key', severity: 'failure', mend: expect.stringContaining('chmod 0600') as string },
    ],
    [
      'a missing key file',
      () => rmSync(join(folder, 'control.json')),
      {
        check: 'control key',
        severity: 'failure',
        message: expect.stringContaining('does not exist') as string,
      },
    ],
    [
      'a damaged key file',
      () => writeFileSync(join(folder, 'jwt.json'), '{'),
      { check: 'JWT secret', severity: 'failure' },
    ],
    [
      'a data directory that others can enter',
      () => chmodSync(join(folder, 'data'), 0o755),
      { check: 'data directory', severity: 'warning', mend: "chmod 0700 'FOLDER/data'" },
    ],
    [
      'a damaged identity',
      () => writeFileSync(join(folder, 'data', 'identity.json'), '{}'),
      { check: 'data directory', severity: 'failure' },
    ],
    [
      'a damaged keyring',
      () => writeFileSync(join(folder, 'data', 'keyring'), '{}'),
      { check: 'keyring', severity: 'failure' },
    ],
    [
      'a missing certificate',
      () => rmSync(join(folder, 'data', 'trust', 'node.pem')),
      { check: 'certificate', severity: 'failure' },
    ],
  ])('finds %s', async (_what, spoil, expected) => {
    spoil();
    const report = await doctor();
    const mend = typeof expected.mend === 'string' ? { mend: expected.mend.replace('FOLDER', folder) } : {};
    expect(troubles(report)).toMatchObject([{ ...expected, ...mend }]);
    expect(troubles(report)[0]?.mend).toBeTruthy();
    expect(report.status).toBe(expected.severity === 'failure' ? 1 : 0);
  });

  it('names both fingerprints when the control key is another, and never the key', async () => {
    const key = 'ab'.repeat(32);
    const report = await doctor({ environment: { HOLDFAST_CONTROL_KEY: key } });
    const [trouble] = troubles(report);
    expect(trouble).toMatchObject({ check: 'keyring', severity: 'failure' });
    expect(trouble?.message.match(/sha256:[0-9a-f]{64}/g)).toHaveLength(2);
    expect(JSON.stringify(report)).not.toContain(key);
    expect(report.status).toBe(1);
  });

  it('warns of settings that differ from the cluster', async () => {
    const report = await doctor({ more: ['--encryption', 'off', '--name', 'other'] });
    expect(troubles(report).map(({ check, severity }) => `${check} ${severity}`)).toEqual([
      'data directory warning',
      'encryption warning',
    ]);
    expect(report.status).toBe(0);
  });

  it('refuses a key file under the data directory', async () => {
    cpSync(join(folder, 'control.json'), join(folder, 'data', 'control.json'));
    const report = await doctor({ more: ['--control-key-path', join(folder, 'data', 'control.json')] });
    expect(troubles(report)).toMatchObject([{ check: 'control key', severity: 'failure' }]);
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
      },
    ]);
  });

  it('says in a sentence what mends it, to people', async () => {
    mkdirSync(join(folder, 'x'));
    chmodSync(join(folder, 'jwt.json'), 0o640);
    const environment = { HOLDFAST_CONFIG: join(folder, 'no-context.json') };
    const { stdout, status } = await runHere(['doctor', ...flags(folder)], { environment });
    expect(status).toBe(1);
    expect(stdout.toString()).toContain(`mend: Run: chmod 0600 '${join(folder, 'jwt.json')}'`);
    expect(stdout.toString()).toMatch(/\n1 failure, \d+ warnings?\n$/);
  });

  it('goes on when no node answers, and says so', async () => {
    const report = await doctor({ environment: { HOLDFAST_CONFIG: join(folder, 'context.json') } });
    expect(troubles(report)).toMatchObject([{ check: 'cluster', severity: 'warning' }]);
    expect(report.status).toBe(0);
  });
});
