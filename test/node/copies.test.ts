import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { startCountPath } from '../../src/trust/startCount.ts';
import { copyKeys, type NodeFolder, NodeFolders } from './nodeFolder.ts';
import { type ThreeNodes, threeNodes } from './threeNodes.ts';
import { until } from './until.ts';

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

/** A copy of the data directory of n3, which does not run, with addresses of its own. */
async function copyOfThird(): Promise<NodeFolder> {
  const copy = await folders.folder('copy');
  copyKeys(three.thirdFolder, copy);
  cpSync(three.thirdFolder.configuration.dataDir, copy.configuration.dataDir, { recursive: true });
  return copy;
}

const fencedCodes = async () =>
  ((await three.client.cluster.status()).fenced ?? []).map(({ name, code }) => `${name} ${code}`);

async function untilFenced(): Promise<void> {
  await until(async () => (await fencedCodes()).includes('n3 NODE_ID_REUSED'), 'n3 is fenced');
}

it('a copy that counts more starts than its node is not heard beside it, and the node goes on', async () => {
  await folders.stop(three.third);
  const copy = await copyOfThird();
  const path = startCountPath(copy.configuration.dataDir);
  const { starts } = JSON.parse(readFileSync(path, 'utf8')) as { starts: number };
  const third = await folders.start(three.thirdFolder);
  const there = await folders.client(three, [third]);
  await there.put('before', 'x');
  writeFileSync(path, `{"schema":1,"starts":${starts + 5}}\n`);
  const second = await folders.start(copy);
  await untilFenced();
  await there.put('meanwhile', 'acknowledged by the one that was there');
  const beside = await folders.client(three, [second]);
  expect((await beside.cluster.status()).leader).toBe('');
});

it('a copy of the same start and its node are both not heard, until the node is started again alone', async () => {
  await folders.stop(three.third);
  const copy = await copyOfThird();
  const third = await folders.start(three.thirdFolder);
  const there = await folders.client(three, [third]);
  await there.put('before', 'x');
  const second = await folders.start(copy);
  await untilFenced();
  await until(async () => (await there.cluster.status()).leader === '', 'n3 has no leader');
  await three.client.put('meanwhile', 'the others go on');
  await folders.stop(second);
  await folders.stop(third);
  const again = await folders.start(three.thirdFolder);
  const back = await folders.client(three, [again]);
  // What was fenced has to have been silent for a while.
  const withinMs = 2 * LIMITS.processSilentMs;
  await until(async () => (await back.cluster.status()).leader !== '', 'n3 is heard again', withinMs);
  expect((await back.get('meanwhile')).item?.value.toString()).toBe('the others go on');
}, 90_000);
