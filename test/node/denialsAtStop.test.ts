import { afterAll, expect, it } from 'vitest';
import { NodeCalls } from './nodeCalls.ts';
import { NodeFolders } from './nodeFolder.ts';

/* On a real node. */
const folders = new NodeFolders();
afterAll(async () => {
  await folders.close();
  expect(folders.fatal).toEqual([]);
});

it('what was denied just before a node stops is recorded', async () => {
  const folder = await folders.first('stop');
  const { ca } = folder.admin;
  let node = await folders.start(folder);
  const { token, id } = await (await folders.client(folder, [node])).access.createToken({
    roles: ['viewer'],
  });
  const viewer = new NodeCalls({ address: node.apiAddress, ca, token });
  await expect(viewer.get('secrets/a')).rejects.toThrow('PERMISSION_DENIED');
  viewer.close();
  await folders.stop(node);
  node = await folders.start(folder);
  const { records } = await (await folders.client(folder, [node])).audit.list({ result: 'denied' });
  expect(records).toMatchObject([{ principal: id, action: 'kv.reveal', count: 1 }]);
}, 60_000);
