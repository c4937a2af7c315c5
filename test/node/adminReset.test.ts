import { X509Certificate } from 'node:crypto';
import { cpSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { authorityFingerprint, HoldfastClient } from '../../src/client/index.ts';
import { requestAdminReset } from '../../src/node/adminReset.ts';
import { dataDirectory } from '../../src/node/dataDirectory.ts';
import type { HoldfastNode } from '../../src/node/holdfastNode.ts';
import { type AdminContext, initCluster } from '../../src/node/initCluster.ts';
import { runHere } from '../cli/rig.ts';
import { type NodeFolder, NodeFolders } from './nodeFolder.ts';
import { threeNodes } from './threeNodes.ts';
import { until } from './until.ts';

/* Breaking the glass, on real nodes. */
const LIMIT_MS = 60_000;
const folders = new NodeFolders();
afterAll(async () => {
  await folders.close();
  expect(folders.fatal).toEqual([]);
});

const resetFile = ({ configuration }: NodeFolder): string => dataDirectory(configuration.dataDir).adminReset;
const isDone = (folder: NodeFolder): Promise<void> =>
  until(() => !existsSync(resetFile(folder)), 'the request to be taken away');

async function login(node: HoldfastNode, { ca }: AdminContext, password: string): Promise<string> {
  const client = new HoldfastClient({ endpoints: [node.apiAddress], ca, requestTimeoutMs: 15_000 });
  try {
    return (await client.access.login({ name: 'admin', password })).token;
  } finally {
    await client.close();
  }
}

it(
  'init makes the user admin, whose password it tells once',
  async () => {
    const folder = await folders.folder('init');
    const { adminPassword, admin } = await initCluster(folder.configuration, () => Promise.resolve());
    const node = await folders.start(folder);
    const token = await login(node, admin, adminPassword);
    const client = new HoldfastClient({ endpoints: [node.apiAddress], ca: admin.ca, token });
    expect(await client.access.whoAmI()).toMatchObject({ kind: 'user', name: 'admin', roles: ['admin'] });
    await client.close();
    await expect(login(node, admin, `${adminPassword}x`)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  },
  LIMIT_MS,
);

it(
  'a reset that is asked for offline counts once the node has started, and only once',
  async () => {
    const folder = await folders.first('reset');
    const { admin } = folder;
    const first = await requestAdminReset(folder.configuration);
    const { password } = await requestAdminReset(folder.configuration);
    expect(statSync(resetFile(folder)).mode & 0o777).toBe(0o600);
    expect(readFileSync(resetFile(folder), 'latin1')).not.toContain('scrypt');
    cpSync(resetFile(folder), join(folders.root, 'copy'));
    let node = await folders.start(folder);
    await isDone(folder);
    // Said once the file is gone.
    const isSaid = () => folder.logger.warnings.join().includes('the administrator was reset');
    await until(isSaid, 'it is said');
    await expect(login(node, admin, first.password)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    const token = await login(node, admin, password);
    const client = new HoldfastClient({ endpoints: [node.apiAddress], ca: admin.ca, token });
    await client.access.changePassword({ oldPassword: password, newPassword: 'a password of my own' });
    await client.close();
    await folders.stop(node);
    // As if it had died before the request was taken away.
    cpSync(join(folders.root, 'copy'), resetFile(folder));
    node = await folders.start(folder);
    await isDone(folder);
    await login(node, admin, 'a password of my own');
    await folders.stop(node);
  },
  LIMIT_MS,
);

it(
  'a reset is refused while the node runs, without the control key, and where no node is',
  async () => {
    const folder = await folders.first('running');
    const node = await folders.start(folder);
    await expect(requestAdminReset(folder.configuration)).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
    await folders.stop(node);
    const other = await folders.first('other');
    const { dataDir } = folder.configuration;
    await expect(requestAdminReset({ ...other.configuration, dataDir })).rejects.toMatchObject({
      code: 'CONTROL_KEY_MISMATCH',
    });
    expect(existsSync(resetFile(folder))).toBe(false);
    const nowhere = { ...folder.configuration, dataDir: join(folders.root, 'nowhere') };
    await expect(requestAdminReset(nowhere)).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
    expect(existsSync(nowhere.dataDir)).toBe(false);
  },
  LIMIT_MS,
);

it(
  'a request that does not open is dropped with a line, and the node goes on',
  async () => {
    const folder = await folders.first('damaged');
    writeFileSync(resetFile(folder), 'damaged', { mode: 0o600 });
    const node = await folders.start(folder);
    await isDone(folder);
    expect(folder.logger.warnings.join()).toContain('does not open, and is dropped');
    await folders.stop(node);
  },
  LIMIT_MS,
);

it(
  'a reset on one node of three counts on all',
  async () => {
    const own = new NodeFolders();
    try {
      const { admin, nodes, third, thirdFolder } = await threeNodes(own);
      await own.stop(third);
      const { password } = await requestAdminReset(thirdFolder.configuration);
      await own.start(thirdFolder);
      await isDone(thirdFolder);
      for (const node of nodes.slice(0, 2)) await login(node, admin, password);
    } finally {
      await own.close();
    }
  },
  LIMIT_MS,
);

it('the command tells the password and the CA, once', async () => {
  const { configuration } = await folders.folder('command');
  const { dataDir, controlKeyPath, jwtSecretPath } = configuration;
  const node = ['--data-dir', dataDir, '--control-key-path', controlKeyPath];
  const context = join(folders.root, 'context.json');
  const init = ['init', ...node, '--jwt-secret-path', jwtSecretPath, '--context-file', context];
  const made = JSON.parse((await runHere([...init, '--output', 'json'])).stdout.toString()) as object;
  const { contexts } = JSON.parse(readFileSync(context, 'utf8')) as { contexts: { ca: string }[] };
  const caFingerprint = authorityFingerprint(new X509Certificate(contexts[0]?.ca ?? '').raw);
  const password = expect.stringMatching(/^(?:[a-z2-9]{7}-){3}[a-z2-9]{7}$/) as string;
  expect(made).toMatchObject({ caFingerprint, user: 'admin', password });
  expect(readFileSync(context, 'utf8')).not.toContain((made as { password: string }).password);
  const reset = await runHere(['access', 'reset-admin', ...node, '--output', 'json']);
  expect(JSON.parse(reset.stdout.toString())).toEqual({ user: 'admin', password });
  rmSync(context);
});
