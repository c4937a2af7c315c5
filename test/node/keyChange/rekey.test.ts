import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { HoldfastClient, type HoldfastError, type KeyChangeStatus } from '../../../src/client/index.ts';
import { openKeyring } from '../../../src/envelope/keyringForm.ts';
import { loadControlKeys, loadJwtSecret } from '../../../src/envelope/keySources.ts';
import { scanForEnvelopes } from '../../../src/node/keyChange/scan.ts';
import { type NodeFolder, NodeFolders } from '../nodeFolder.ts';
import { type ThreeNodes, threeNodes } from '../threeNodes.ts';
import { until } from '../until.ts';

let folders: NodeFolders;
let three: ThreeNodes;
beforeEach(async () => {
  folders = new NodeFolders();
  three = await threeNodes(folders);
});
afterEach(async () => {
  await folders.close();
  expect(folders.fatal).toEqual([]);
});

const keysOf = ({ configuration }: NodeFolder) =>
  loadControlKeys({ path: configuration.controlKeyPath, dataDir: configuration.dataDir, env: {} });

async function change(): Promise<KeyChangeStatus> {
  const { keyChange } = await three.client.cluster.status();
  if (!keyChange) throw new Error('no change of keys');
  return keyChange;
}

async function untilPhase(phase: string): Promise<void> {
  let last = '';
  await until(
    async () => {
      const now = await change();
      last = JSON.stringify(now);
      return now.phase === phase;
    },
    () => `${phase}: ${last}`,
  );
}

/** Under every data key but the active one, in all data directories. */
async function leftUnderOldKeys(): Promise<number> {
  let count = 0;
  for (const { configuration } of three.folders) {
    const stored = readFileSync(join(configuration.dataDir, 'keyring'));
    const keyring = openKeyring(stored, keysOf({ configuration } as NodeFolder).all);
    const keyIds = new Set([...keyring.keys.keys()].filter((id) => id !== keyring.active.id));
    expect(keyIds.size).toBeGreaterThan(0);
    count += (await scanForEnvelopes(configuration.dataDir, { keyIds, suite: null })).count;
  }
  return count;
}

it('a rekey brings a new control key to every node, seals all anew, and takes the old key away', async () => {
  const { client } = three;
  const [before] = three.folders.map((folder) => keysOf(folder).active.fingerprint);
  const { id } = await client.cluster.beginKeyChange({ kind: 'rekey', source: 'file' });
  await until(async () => (await change()).newFingerprint !== '', 'a new control key');
  const { newFingerprint } = await change();
  await until(
    async () => (await change()).members.every(({ proved }) => proved),
    'every member has proved it',
  );
  // Nothing happens until an operator holds a copy.
  expect((await change()).phase).toBe('preparing');
  expect((await client.cluster.status()).controlKeyFingerprint).toBe(before);
  await client.cluster.confirmKeyChange({ id, newFingerprint });
  let written = 0;
  const writing = (async () => {
    while ((await change()).phase !== 'finished') {
      await client.put(`while/${written}`, 'x');
      written += 1;
    }
  })();
  await untilPhase('finished');
  await writing;
  expect(written).toBeGreaterThan(0);
  expect((await client.cluster.status()).controlKeyFingerprint).toBe(newFingerprint);
  await until(
    () => three.folders.every((folder) => keysOf(folder).all.length === 1),
    'the old control key is in no file',
  );
  expect(three.folders.map((folder) => keysOf(folder).active.fingerprint)).toEqual(
    three.folders.map(() => newFingerprint),
  );
  for (const folder of three.folders) {
    const stored = readFileSync(join(folder.configuration.dataDir, 'keyring'));
    expect(openKeyring(stored, keysOf(folder).all).replacedControlKeys).toEqual([before]);
  }
  expect(await leftUnderOldKeys()).toBe(0);
  for (let i = 0; i < 20; i += 1) expect((await client.get(`key/${i}`)).item?.value.toString()).toBe('value');
  expect((await client.get(`while/${written - 1}`)).item?.value.toString()).toBe('x');
});

it('rotate seals what comes by a new data key, and rewrap what is there already', async () => {
  const { client } = three;
  await client.cluster.beginKeyChange({ kind: 'rotate' });
  await untilPhase('finished');
  expect(await leftUnderOldKeys()).toBeGreaterThan(0);
  await client.put('after', 'x');
  await client.cluster.beginKeyChange({ kind: 'rewrap' });
  await untilPhase('finished');
  expect(await leftUnderOldKeys()).toBe(0);
  expect((await client.get('key/7')).item?.value.toString()).toBe('value');
});

it('another JWT secret comes to every node, and the old one goes', async () => {
  const { client } = three;
  const secretsOf = ({ configuration }: NodeFolder) =>
    loadJwtSecret({ path: configuration.jwtSecretPath, dataDir: configuration.dataDir, env: {} });
  const before = (await client.cluster.status()).jwtSecretFingerprint;
  const ada = { name: 'ada', password: 'a password of ada' };
  await client.access.createUser({ ...ada, roles: ['viewer'] });
  const endpoints = three.nodes.map((node) => node.apiAddress);
  const clients: HoldfastClient[] = [];
  const as = (token?: string): HoldfastClient => {
    const made = new HoldfastClient({ endpoints, ca: three.admin.ca, token });
    clients.push(made);
    return made;
  };
  const session = as((await as().access.login(ada)).token);
  await session.get('key/1');
  await client.cluster.beginKeyChange({ kind: 'jwt', source: 'file' });
  await untilPhase('finished');
  const { newFingerprint } = await change();
  expect(newFingerprint).not.toBe(before);
  const isOver = () =>
    session.get('key/1').then(
      () => false,
      ({ code }: HoldfastError) => code === 'UNAUTHENTICATED',
    );
  await until(isOver, 'a session from before is over, on its open stream too');
  await as((await as().access.login(ada)).token).get('key/1');
  for (const one of clients) await one.close();
  expect((await client.cluster.status()).jwtSecretFingerprint).toBe(newFingerprint);
  await until(
    () =>
      three.folders.every(
        (folder) =>
          secretsOf(folder)
            .all.map(({ fingerprint }) => fingerprint)
            .join() === newFingerprint,
      ),
    'every file holds the new secret alone',
  );
  await folders.stop(three.third);
  await folders.start(three.thirdFolder);
  await client.put('after', 'x');
  await until(
    async () => (await client.cluster.members()).members.every(({ reachable }) => reachable),
    'n3 is back',
  );
});

it('the toggle is turned off and on again, and everything on the disks follows it', async () => {
  const { client } = three;
  const readable = (): boolean =>
    three.folders.every(({ configuration }) =>
      contentsOf(join(configuration.dataDir, 'state')).includes('"key":"key/7"'),
    );
  expect(readable()).toBe(false);
  await client.cluster.beginKeyChange({ kind: 'encryption', encryption: 'off' });
  await untilPhase('finished');
  expect((await client.cluster.status()).encryption).toBe('off');
  expect(readable()).toBe(true);
  await client.cluster.beginKeyChange({ kind: 'encryption', encryption: 'on' });
  await untilPhase('finished');
  expect(readable()).toBe(false);
  expect((await client.get('key/7')).item?.value.toString()).toBe('value');
});

function contentsOf(folder: string): string {
  const files = readdirSync(folder, { withFileTypes: true, recursive: true }).filter((entry) =>
    entry.isFile(),
  );
  return files.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1')).join('');
}
