import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { HoldfastNode } from '../../src/node/holdfastNode.ts';
import { type NodeFolder, NodeFolders } from './nodeFolder.ts';
import { type ThreeNodes, threeNodes } from './threeNodes.ts';
import { until } from './until.ts';

const folders = new NodeFolders();
let three: ThreeNodes;
beforeAll(async () => {
  three = await threeNodes(folders);
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
  const { client, third, thirdFolder: folder } = three;
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
