import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { CliRig } from './rig.ts';

let rig: CliRig;
beforeAll(async () => {
  rig = await CliRig.create();
});
afterEach(() => {
  rig.node.told = { warnings: [] };
});
afterAll(() => rig.close());

const WITHHELD = ['cluster', 'keys', 'audit'];
const run = (...words: string[]) => rig.cli([...words, '--timeout', '2s']);

it('a status says what of it is withheld, and shows no figures in its place', async () => {
  rig.node.told = { warnings: [], withheld: WITHHELD, encryption: '', keys: 0 };
  const { stdout, stderr } = await run('status');
  const [cluster, , row] = String(stdout).split('\n');
  expect(cluster).toMatch(/^cluster [0-9a-f]+$/);
  // The term, and how far it is: no number of keys.
  expect(row).toMatch(/^fake +\S+ +[0-9]+ +[0-9]+ +[0-9]+ *$/);
  expect(stderr).toContain('withheld is what takes admin: cluster, keys, audit\n');
  const { nodes } = JSON.parse(String((await run('status', '--output', 'json')).stdout)) as {
    readonly nodes: readonly object[];
  };
  const nothing = ['keys', 'watches', 'digest', 'logTime', 'wallTime', 'uptimeMs', 'disk', 'scrub', 'log'];
  const more = ['fenced', 'encryption', 'controlKeyFingerprint', 'jwtSecretFingerprint', 'auditSink'];
  const expected = Object.fromEntries([...nothing, ...more].map((name) => [name, null]));
  expect(nodes).toMatchObject([{ ...expected, withheld: WITHHELD, name: 'fake' }]);
});

it('a status of which nothing is withheld says so to programs, and nothing to people', async () => {
  const { stdout, stderr } = await run('status');
  expect(String(stdout)).toContain(', encryption ');
  expect(stderr).toBe('');
  const { stdout: json } = await run('status', '--output', 'json');
  expect(JSON.parse(String(json))).toMatchObject({ nodes: [{ withheld: [], keys: 0, fenced: [] }] });
});

it('that there was no change of keys is not said to who is not told', async () => {
  expect(String((await run('cluster', 'rekey', '--status')).stdout)).toContain('no change of keys');
  rig.node.told = { warnings: [], withheld: WITHHELD };
  const { status, stderr } = await run('cluster', 'rekey', '--status');
  expect(status).toBe(1);
  expect(stderr).toContain('PERMISSION_DENIED');
});

it('doctor judges nothing of the cluster by what it is not told', async () => {
  const clusterChecks = async () => {
    const { stdout } = await run('doctor', '--output', 'json');
    const { findings } = JSON.parse(String(stdout)) as {
      readonly findings: readonly { readonly check: string; readonly message: string }[];
    };
    const ofCluster = ['cluster', 'members', 'quorum', 'same control key', 'clocks', 'disks'];
    return findings.filter(({ check }) => ofCluster.includes(check));
  };
  expect((await clusterChecks()).map(({ check }) => check)).toContain('members');
  rig.node.told = { warnings: [], withheld: WITHHELD };
  expect(await clusterChecks()).toMatchObject([
    { check: 'cluster', severity: 'warning', message: expect.stringContaining('admin:cluster') },
  ]);
});
