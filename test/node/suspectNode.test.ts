import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { HoldfastClient } from '../../src/client/index.ts';
import type { HoldfastNode } from '../../src/node/holdfastNode.ts';
import { joinNode } from '../../src/node/joinNode.ts';
import { copyKeys, type NodeFolder, NodeFolders } from './nodeFolder.ts';
import { until } from './until.ts';

/** Three real nodes in one process. */
const folders = new NodeFolders();
const places: NodeFolder[] = [];
const nodes: HoldfastNode[] = [];
let client: HoldfastClient;

beforeAll(async () => {
  const first = await folders.first('n1');
  places.push(first);
  nodes.push(await folders.start(first));
  client = await folders.client(first, nodes);
  await until(async () => (await client.cluster.status()).leader !== '', 'a leader');
  for (const name of ['n2', 'n3']) {
    const folder = await folders.folder(name);
    copyKeys(first, folder);
    const { token } = await client.cluster.addToken({ role: 'voter' });
    await joinNode(folder.configuration, token);
    places.push(folder);
    nodes.push(await folders.start(folder));
    await until(async () => {
      const { members } = await client.cluster.status();
      return members.filter(({ role }) => role === 'voter').length === nodes.length;
    }, `${name} is a voter`);
  }
  for (let i = 0; i < 20; i += 1) await client.put(`key/${i}`, 'value');
}, 60_000);
afterAll(() => folders.close());

/** As if the disk had never written its last 4 KiB. */
function zeroTail({ configuration }: NodeFolder): void {
  const directory = join(configuration.dataDir, 'wal');
  const names = readdirSync(directory).filter((name) => name.endsWith('.wal'));
  const path = join(directory, names.toSorted().at(-1) ?? '');
  const bytes = readFileSync(path);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  bytes.fill(0, Math.max(0, end - 4096), end);
  writeFileSync(path, bytes);
}

it('a node whose log has lost its end says so, does not count, and is mended by the leader', async () => {
  const [, , third] = nodes;
  const [, , folder] = places;
  if (third === undefined || folder === undefined) throw new Error('three nodes');
  const status = async (node: HoldfastNode) => client.cluster.status({ endpoint: node.apiAddress });
  await folders.stop(third);
  zeroTail(folder);
  const back = await folders.start(folder);
  expect(folder.logger.warnings).toContain('the log is suspect');
  await until(async () => (await status(back)).log?.suspect === false, 'it is trusted again', 20_000);
  await client.put('key/after', 'value');
  await until(async () => {
    const { log, members, warnings } = await status(back);
    const other = await client.cluster.status();
    const equal = log?.lastIndex === other.log?.lastIndex && log?.lastHash === other.log?.lastHash;
    return equal && warnings.length === 0 && members.every(({ suspect }) => suspect !== true);
  }, 'equal logs');
  expect(folders.fatal).toEqual([]);
  await folders.stop(back);
  const once = folder.logger.warnings.length;
  await folders.start(folder);
  expect(folder.logger.warnings.slice(once)).not.toContain('the log is suspect');
}, 60_000);
