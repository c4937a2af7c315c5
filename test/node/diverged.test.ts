import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { HoldfastNode } from '../../src/node/holdfastNode.ts';
import { openNode } from '../../src/node/openNode.ts';
import { type DatabaseRow, openLevelDatabase } from '../../src/store/database.ts';
import { readHead } from '../../src/store/loadState.ts';
import { encodeRow, parseRowKey, rowDigest } from '../../src/store/row.ts';
import { RowSealer } from '../../src/store/rowSealer.ts';
import { writeHead } from '../../src/store/writer.ts';
import { type NodeFolder, NodeFolders } from './nodeFolder.ts';
import { type ThreeNodes, threeNodes } from './threeNodes.ts';
import { until } from './until.ts';

const folders = new NodeFolders();
let three: ThreeNodes;
beforeAll(async () => {
  three = await threeNodes(folders);
}, 60_000);
afterAll(() => folders.close());

/** Takes a record away and makes the head agree with it: nothing on this disk tells that anything is wrong. */
async function loseRecord({ configuration, logger }: NodeFolder): Promise<void> {
  const { sealer, lock } = await openNode(configuration, logger);
  const rows = new RowSealer(sealer);
  const state = join(configuration.dataDir, 'state');
  const path = join(state, readFileSync(join(state, 'current'), 'latin1').trim());
  const database = await openLevelDatabase({ path, create: false });
  const snapshot = database.snapshot();
  const head = await readHead({ snapshot, sealer: rows });
  const records: DatabaseRow[] = [];
  for await (const portion of snapshot.rows('k')) records.push(...portion);
  const [row] = records;
  await snapshot.close();
  if (row === undefined) throw new Error('no record');
  const place = parseRowKey(row.key);
  const share = Buffer.from(rowDigest(encodeRow(place, rows.open(place, row.envelope))), 'latin1');
  const digest = Buffer.from(head.digest);
  for (let at = 0; at < digest.length; at += 4) {
    digest.writeUInt32BE((digest.readUInt32BE(at) - share.readUInt32BE(at)) >>> 0, at);
  }
  const writes = database.batch();
  writes.del(row.key);
  writeHead(writes, { head: { ...head, digest }, sealer: rows });
  await writes.write();
  await database.close();
  await lock.release();
}

it('a node whose state differs finds out by itself, stops, and takes the state of the others', async () => {
  const { admin, client, first, third, thirdFolder: folder } = three;
  await folders.stop(third);
  await loseRecord(folder);
  const diverged = await folders.start(folder);
  await until(() => folders.fatal.length > 0, 'it stops', 20_000);
  expect(folders.fatal[0]).toMatchObject({
    code: 'STATE_CORRUPT',
    message: expect.stringContaining('not that of the majority'),
  });
  await folders.stop(diverged);
  folders.fatal.length = 0;
  const rebuilt = await folders.start(folder);
  expect(folder.logger.warnings).toContain('the state is rebuilt from the leader');
  const status = async (node: HoldfastNode) => client.cluster.status({ endpoint: node.apiAddress });
  await until(async () => {
    const [one, other] = [await status(first), await status(rebuilt)];
    return one.appliedIndex === other.appliedIndex && one.digest === other.digest;
  }, 'equal digests');
  expect((await status(rebuilt)).warnings).toEqual([expect.stringContaining('diverged-2')]);
  const through = await folders.client({ admin }, [rebuilt]);
  expect((await through.range({ prefix: 'key/', countOnly: true })).count).toBe(20);
  expect(folders.fatal).toEqual([]);
  const left = readdirSync(join(folder.configuration.dataDir, 'state'));
  expect(left.filter((name) => /^d.*d-/.test(name))).toEqual(['diverged-2']);
}, 60_000);
