import { rmSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { generateKeyFiles } from '../../src/node/keys.ts';
import { changeKeyring } from './changedKeyring.ts';
import { NodeFolders } from './nodeFolder.ts';
import { threeNodes } from './threeNodes.ts';
import { until } from './until.ts';

let folders: NodeFolders;
beforeEach(() => {
  folders = new NodeFolders();
});
afterEach(async () => {
  await folders.close();
  expect(folders.fatal).toEqual([]);
});

it('a node with another JWT secret than its cluster does not start, and says both values', async () => {
  const { third, thirdFolder } = await threeNodes(folders);
  const { configuration } = thirdFolder;
  await folders.stop(third);
  rmSync(configuration.jwtSecretPath);
  generateKeyFiles({ ...configuration, controlKeyPath: `${configuration.controlKeyPath}.other` });
  await expect(folders.start(thirdFolder)).rejects.toMatchObject({
    code: 'JWT_SECRET_MISMATCH',
    message: expect.stringMatching(
      /^the cluster has JWT secret sha256:\w{64}, this node has sha256:\w{64}$/,
    ) as string,
  });
});

it('a member that comes back with another toggle is fenced, named with both values, and heard again when it is over', async () => {
  const { admin, client, third, thirdFolder } = await threeNodes(folders);
  await folders.stop(third);
  const putBack = changeKeyring(thirdFolder.configuration, { encryption: 'off', acceptsReadable: true });
  const changed = await folders.start(thirdFolder);

  const fencedAt = async () => (await client.cluster.status()).fenced ?? [];
  await until(async () => (await fencedAt()).length === 1, 'n3 is fenced');
  const [fenced] = await fencedAt();
  expect(fenced).toMatchObject({ name: 'n3', code: 'ENCRYPTION_MISMATCH' });
  const { warnings } = await client.cluster.status();
  expect(warnings.find((warning) => warning.includes('fenced'))).toMatch(
    /^n3 is fenced, ENCRYPTION_MISMATCH: .*the other node has encryption o(n, this node off|ff, this node on)\. The data /,
  );
  await client.put('meanwhile', 'the others go on');

  const lonely = await folders.client({ admin }, [changed]);
  await until(async () => ((await lonely.cluster.status()).fenced ?? []).length === 2, 'n3 sees that it is');
  expect((await lonely.cluster.status()).leader).toBe('');

  await folders.stop(changed);
  putBack();
  const restored = await folders.start(thirdFolder);
  await until(async () => (await fencedAt()).length === 0, 'n3 is heard again');
  const again = await folders.client({ admin }, [restored]);
  expect((await again.get('meanwhile')).item?.value.toString()).toBe('the others go on');
});
