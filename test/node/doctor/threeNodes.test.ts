import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import type { Finding } from '../../../src/node/doctor/finding.ts';
import type { HoldfastNode } from '../../../src/node/holdfastNode.ts';
import { generateKeyFiles, openKeys } from '../../../src/node/keys.ts';
import { formatAddress } from '../../../src/node/settings.ts';
import { runHere } from '../../cli/rig.ts';
import { changeKeyring } from '../changedKeyring.ts';
import { type NodeFolder, NodeFolders } from '../nodeFolder.ts';
import { type ThreeNodes, threeNodes } from '../threeNodes.ts';
import { until } from '../until.ts';

let folders: NodeFolders;
beforeEach(() => {
  folders = new NodeFolders();
});
afterEach(async () => {
  await folders.close();
  expect(folders.fatal).toEqual([]);
});

/** Writes the context of an administrator, which names the first node. */
function writeContext({ admin, first }: ThreeNodes): string {
  const path = join(folders.root, 'context.json');
  const { ca, certificate, privateKey } = admin;
  const context = { name: 'admin', endpoints: [first.apiAddress], ca, certificate, privateKey };
  writeFileSync(path, JSON.stringify({ schema: 1, current: 'admin', contexts: [context] }), { mode: 0o600 });
  return path;
}

/** What doctor says on the machine of a node, but for the disk, which is not ours. */
async function doctor(
  { configuration }: NodeFolder,
  context: string,
): Promise<{ status: number | null; findings: readonly Finding[]; troubles: readonly string[] }> {
  const { dataDir, controlKeyPath, jwtSecretPath, name, listenApi, listenPeer } = configuration;
  const flags = [
    ['--data-dir', dataDir, '--name', name],
    ['--control-key-path', controlKeyPath, '--jwt-secret-path', jwtSecretPath],
    ['--listen-api', formatAddress(listenApi), '--listen-peer', formatAddress(listenPeer)],
  ].flat();
  const environment = { HOLDFAST_CONFIG: context };
  const { status, stdout } = await runHere(['doctor', ...flags, '--output', 'json'], { environment });
  const { findings } = JSON.parse(stdout.toString()) as { findings: Finding[] };
  const troubles = findings
    .filter(({ severity, check }) => severity !== 'ok' && !/^(disks?|file system|key backup)$/.test(check))
    .map(({ check, severity }) => `${severity} ${check}`);
  return { status, findings, troubles };
}

it('doctor looks at three real nodes: sound, with one that is down, with one that is fenced', async () => {
  const nodes = await threeNodes(folders);
  const { client, third, thirdFolder } = nodes;
  const context = writeContext(nodes);
  const sound = await doctor(thirdFolder, context);
  expect(sound.troubles).toEqual([]);
  const found = (check: string) => sound.findings.filter((one) => one.check === check);
  expect(found('certificates').map(({ message }) => message.split(' is valid')[0])).toEqual(
    ['n1', 'n2', 'n3'].map((name) => `the certificate of ${name}`),
  );
  expect(found('quorum')[0]?.message).toBe('3 of 3 voters take part and 2 are needed: 1 more may fail');
  const [jwt] = found('same JWT secret');
  expect(jwt?.message).toMatch(/^sha256:[0-9a-f]{64} on /);
  expect(found('clocks')).toHaveLength(1);
  expect(found('API port')[0]?.message).toContain('this node, which is running');

  await folders.stop(third);
  await until(
    // A leader that has just been elected has not heard the other one yet either.
    async () => {
      const { members } = await client.cluster.members();
      return members.filter(({ reachable }) => !reachable).length === 1;
    },
    'n3 is gone, and nobody else',
  );
  const down = await doctor(thirdFolder, context);
  expect(down).toMatchObject({ status: 0, troubles: ['warning members', 'warning quorum'] });

  const fenced = await startedWithAnotherSecret(thirdFolder);
  await until(async () => ((await client.cluster.status()).fenced ?? []).length === 1, 'n3 is fenced');
  const lonely = await folders.client(nodes, [fenced]);
  await until(async () => ((await lonely.cluster.status()).fenced ?? []).length === 2, 'n3 knows that it is');
  const apart = await doctor(thirdFolder, context);
  expect(apart.status).toBe(1);
  expect(apart.troubles).toEqual(
    expect.arrayContaining(['warning quorum', 'failure fenced', 'failure same JWT secret']),
  );
  expect(apart.troubles.filter((text) => text.startsWith('failure'))).toHaveLength(2);
});

async function startedWithAnotherSecret(folder: NodeFolder): Promise<HoldfastNode> {
  const { configuration } = folder;
  const { jwtSecretPath, controlKeyPath } = configuration;
  rmSync(jwtSecretPath);
  const other = { ...configuration, controlKeyPath: `${controlKeyPath}.other` };
  generateKeyFiles(other);
  // The secret alone would not let it start.
  const [made] = openKeys(configuration).jwt.all;
  changeKeyring(configuration, { jwtSecretFingerprint: present(made, 'a secret').fingerprint });
  return folders.start(folder);
}
