import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, cpSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../src/base/assert.ts';
import { connect } from '../src/client/index.ts';
import type { Fingerprint } from '../src/envelope/fingerprint.ts';
import { changeKeyring } from '../test/node/changedKeyring.ts';
import { holdfast, LocalCluster, newNode, nodeFlags } from './localCluster.ts';
import { refusal, type Secrets, secretsOf } from './secrets.ts';
import { until } from './until.ts';

const WITHIN_MS = 60_000;
const LIMIT_MS = 240_000;

let cluster: LocalCluster;
/** The secrets of the cluster, and others. */
let right: Secrets;
let foreign: Secrets;

beforeAll(async () => {
  cluster = await LocalCluster.form(3);
  foreign = await secretsOf(await newNode(cluster.dir, 'foreign'), { make: true });
  right = await secretsOf(cluster.node('n1'), { make: false });
}, LIMIT_MS);

afterAll(() => cluster?.destroy());

interface FencedView {
  readonly nodeId: string;
  readonly name: string;
  readonly code: string;
  readonly reason: string;
  readonly hint: string;
}

/** What `holdfast status --output json` says of each node that it reaches. */
async function statusByName(): Promise<
  ReadonlyMap<string, { nodeId: string; fenced: readonly FencedView[] }>
> {
  const { stdout } = await holdfast(['status', '--output', 'json'], {
    environment: {
      HOLDFAST_CONFIG: cluster.contextPath,
      HOLDFAST_ENDPOINTS: cluster.nodes.map(({ apiAddress }) => apiAddress).join(','),
    },
  });
  const { nodes } = JSON.parse(stdout.toString()) as {
    nodes: { name?: string; nodeId: string; fenced: FencedView[] }[];
  };
  return new Map(nodes.flatMap((node) => (node.name === undefined ? [] : [[node.name, node] as const])));
}

async function fencedAt(name: string): Promise<readonly FencedView[]> {
  return (await statusByName()).get(name)?.fenced ?? [];
}

/** A hash of all files below a folder, with their names; not of the lock, which every start writes. */
function contentsOf(folder: string): string {
  const hash = createHash('sha256');
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .filter((path) => !path.startsWith(join('lock', '')))
    .toSorted();
  expect(files).toContain('keyring');
  for (const path of files) {
    const bytes = readFileSync(join(folder, path));
    hash.update(`${path}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

describe('a member that comes back with something else', () => {
  it(
    'is fenced with another JWT secret while the cluster goes on, and heard again with the right one',
    async () => {
      const { jwtSecretPath } = cluster.node('n3');
      const nodeId = present((await statusByName()).get('n3'), 'n3').nodeId;
      await cluster.stop('n3');
      copyFileSync(foreign.jwtSecretPath, jwtSecretPath);
      // The secret alone would not let it start.
      const putBack = changeKeyring(cluster.node('n3'), { jwtSecretFingerprint: foreign.jwt as Fingerprint });
      cluster.start('n3');
      for (const name of ['n1', 'n2']) {
        await until(WITHIN_MS, `${name} lists n3 as fenced`, async () => (await fencedAt(name)).length === 1);
        const [fenced] = await fencedAt(name);
        expect(fenced).toMatchObject({
          nodeId,
          name: 'n3',
          code: 'JWT_SECRET_MISMATCH',
          hint: 'Give the node the JWT secret of the cluster: its file, or HOLDFAST_JWT_SECRET; then start it again.',
        });
        // Found here, or told by n3: who answers first of the two is not ours to say.
        expect([
          `the other node has JWT secret ${foreign.jwt}, this node ${right.jwt}`,
          `node ${nodeId} says: the other node has JWT secret ${right.jwt}, this node ${foreign.jwt}`,
        ]).toContain(fenced?.reason);
      }
      const others = await cluster.client(['n1', 'n2']);
      await others.put('while/fenced', 'written without n3');
      await others.close();

      await cluster.stop('n3');
      copyFileSync(right.jwtSecretPath, jwtSecretPath);
      putBack();
      cluster.start('n3');
      for (const name of ['n1', 'n2'])
        await until(WITHIN_MS, `${name} hears n3 again`, async () => (await fencedAt(name)).length === 0);
      await cluster.untilVoters(3);
      const there = await cluster.client(['n3']);
      await until(WITHIN_MS, 'n3 has what was written meanwhile', async () => {
        const { item } = await there.get('while/fenced');
        return item?.value.toString() === 'written without n3';
      });
      await there.close();
    },
    LIMIT_MS,
  );

  it(
    'is fenced when it runs on a copy of a data directory whose node runs too, and so is that, until it is started again alone',
    async () => {
      const node = cluster.node('n3');
      const copy = await newNode(cluster.dir, 'copy-of-n3');
      await cluster.stop('n3');
      cpSync(node.dataDir, copy.dataDir, { recursive: true });
      cluster.start('n3');
      await cluster.untilVoters(3);
      const { controlKeyPath, jwtSecretPath } = node;
      const second = cluster.startProcess({ ...copy, name: 'n3', controlKeyPath, jwtSecretPath });
      const ended = once(second, 'exit');
      for (const name of ['n1', 'n2']) {
        await until(WITHIN_MS, `${name} lists n3 as fenced`, async () => (await fencedAt(name)).length === 1);
        const [fenced] = await fencedAt(name);
        expect(fenced).toMatchObject({
          name: 'n3',
          code: 'NODE_ID_REUSED',
          hint: 'Neither is heard. Stop both, empty the directory that is a copy or an old backup, and start the node on the other one.',
        });
        expect(fenced?.reason).toMatch(
          /two processes run as node [0-9a-f]{16}, both of start \d+ of its data directory$/,
        );
      }
      const others = await cluster.client(['n1', 'n2']);
      await others.put('while/copied', 'acknowledged by those that are left');
      await others.close();
      for (const apiAddress of [node.apiAddress, copy.apiAddress]) {
        const alone = await connect({ ...cluster.context(), endpoints: [apiAddress] });
        await until(WITHIN_MS, `nobody leads ${apiAddress}`, async () => {
          const { leader } = await alone.cluster.status();
          return leader === '';
        });
        await alone.close();
      }
      second.kill('SIGKILL');
      await ended;
      await cluster.stop('n3');
      cluster.start('n3');
      for (const name of ['n1', 'n2'])
        await until(WITHIN_MS, `${name} hears of no copy`, async () => (await fencedAt(name)).length === 0);
      await cluster.untilVoters(3);
    },
    LIMIT_MS,
  );

  const REFUSED_AT_START = [
    {
      path: 'controlKeyPath',
      code: 'CONTROL_KEY_MISMATCH',
      message: () =>
        `the keyring is wrapped by another control key (ours ${foreign.control}, theirs ${right.control})`,
      hint: 'Give this node the control key of the cluster: its key file, or HOLDFAST_CONTROL_KEY.',
    },
    {
      path: 'jwtSecretPath',
      code: 'JWT_SECRET_MISMATCH',
      message: () => `the cluster has JWT secret ${right.jwt}, this node has ${foreign.jwt}`,
      hint: 'Give this node the JWT secret of the cluster: its file, or HOLDFAST_JWT_SECRET.',
    },
  ] as const;

  it.each(REFUSED_AT_START)(
    'does not start with another $path, says both, and changes nothing on its disk',
    async ({ path, code, message, hint }) => {
      const node = cluster.node('n3');
      await cluster.stop('n3');
      const before = contentsOf(node.dataDir);
      const said = await holdfast(['server', ...nodeFlags({ ...node, [path]: foreign[path] })]);
      expect({ ...said, stdout: said.stdout.toString() }).toEqual(
        refusal({ code, message: message(), hint }),
      );
      expect(contentsOf(node.dataDir)).toBe(before);
      cluster.start('n3');
      await cluster.untilVoters(3);
    },
    LIMIT_MS,
  );
});
