import type { HoldfastClient } from '../../src/client/index.ts';
import type { HoldfastNode } from '../../src/node/holdfastNode.ts';
import type { AdminContext } from '../../src/node/initCluster.ts';
import { joinNode } from '../../src/node/joinNode.ts';
import { copyKeys, type NodeFolder, type NodeFolders } from './nodeFolder.ts';
import { until } from './until.ts';

export interface ThreeNodes {
  readonly admin: AdminContext;
  /** Of all three. */
  readonly client: HoldfastClient;
  readonly first: HoldfastNode;
  readonly third: HoldfastNode;
  readonly nodes: readonly HoldfastNode[];
  /** Where the third lies. */
  readonly thirdFolder: NodeFolder;
  /** Where all of them lie. */
  readonly folders: readonly NodeFolder[];
}

/** Three real nodes in one process, voters all, with twenty keys `key/0` to `key/19`. */
export async function threeNodes(folders: NodeFolders): Promise<ThreeNodes> {
  const founder = await folders.first('n1');
  const first = await folders.start(founder);
  const nodes = [first];
  const client = await folders.client(founder, nodes);
  await until(async () => (await client.cluster.status()).leader !== '', 'a leader');
  const join = async (name: string) => {
    const folder = await folders.folder(name);
    copyKeys(founder, folder);
    const { token } = await client.cluster.addToken({ role: 'voter' });
    await joinNode(folder.configuration, token);
    const node = await folders.start(folder);
    nodes.push(node);
    await until(async () => {
      const { members } = await client.cluster.status();
      return members.filter(({ role }) => role === 'voter').length === nodes.length;
    }, `${name} is a voter`);
    return { node, folder };
  };
  const { folder: secondFolder } = await join('n2');
  const { node: third, folder: thirdFolder } = await join('n3');
  for (let i = 0; i < 20; i += 1) await client.put(`key/${i}`, 'value');
  const all = [founder, secondFolder, thirdFolder];
  return { admin: founder.admin, client, first, third, nodes, thirdFolder, folders: all };
}
