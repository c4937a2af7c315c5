import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HoldfastClient, HoldfastError, type StatusResponse } from '../../src/client/index.ts';
import type { HoldfastNode } from '../../src/node/holdfastNode.ts';
import type { AdminContext } from '../../src/node/initCluster.ts';
import { joinNode } from '../../src/node/joinNode.ts';
import { TAKEN_OUT_WARNING } from '../../src/node/takenOut.ts';
import { copyKeys, type NodeFolder, NodeFolders } from './nodeFolder.ts';
import { until } from './until.ts';

/** Three real nodes on real ports and disks, in one process; the tests below go on from one another. */
const folders = new NodeFolders();
const nodes: { folder: NodeFolder; node: HoldfastNode }[] = [];
let admin: AdminContext;
let client: HoldfastClient;

beforeAll(async () => {
  const first = await folders.first('n1');
  admin = first.admin;
  nodes.push({ folder: first, node: await folders.start(first) });
  client = await folders.client({ admin }, [at(0).node]);
  await until(async () => (await client.cluster.status()).leader !== '', 'a first leader');
  for (const name of ['n2', 'n3']) {
    const folder = await folders.folder(name);
    copyKeys(first, folder);
    const { token } = await client.cluster.addToken({ role: 'voter' });
    expect(await joinNode(folder.configuration, token)).toMatchObject({ role: 'voter' });
    nodes.push({ folder, node: await folders.start(folder) });
    await until(async () => (await voters()) === nodes.length, `${name} is a voter`);
  }
}, 60_000);
afterAll(() => folders.close());

function at(number: number): { folder: NodeFolder; node: HoldfastNode } {
  const found = nodes[number];
  if (found === undefined) throw new Error(`there is no node number ${number}`);
  return found;
}

async function voters(): Promise<number> {
  const { members } = await client.cluster.status();
  return members.filter((member) => member.role === 'voter').length;
}

/** What one node says of itself, whoever leads. */
function statusOf(number: number): Promise<StatusResponse> {
  return client.cluster.status({ endpoint: at(number).node.apiAddress });
}

describe('three nodes', () => {
  it('take a write through one and show it through another', async () => {
    const { revision } = await client.put('users/ada', 'admin');
    for (const { node } of nodes) {
      const through = await folders.client({ admin }, [node]);
      const { item } = await through.get('users/ada');
      expect(item?.value.toString()).toBe('admin');
      expect(item?.modRevision).toBe(revision);
    }
  });

  it('keep one state: the same digest at the same index', async () => {
    await client.put('users/bob', 'viewer');
    await until(async () => {
      const all = await Promise.all([0, 1, 2].map(statusOf));
      return new Set(all.map(({ appliedIndex, digest }) => `${appliedIndex} ${digest}`)).size === 1;
    }, 'equal digests');
  });

  it('list the join tokens with who has used them, and tell nobody a secret', async () => {
    const { token } = await client.cluster.addToken({ role: 'learner', ttlMs: 1 });
    const [, id = '', secret = ''] = token.split('.');
    await until(async () => {
      const { tokens } = await client.cluster.tokens();
      return tokens.find((one) => one.id === id)?.expired === true;
    }, 'the token expires, though nothing is written');
    const { tokens } = await client.cluster.tokens();
    expect(tokens.map(({ role, usedByName, expired }) => `${role} ${usedByName} ${expired}`)).toEqual([
      'voter n2 false',
      'voter n3 false',
      'learner  true',
    ]);
    const [first, , last] = tokens;
    expect(first?.usedBy).toBe((await statusOf(1)).nodeId);
    expect(first).toMatchObject({ expiresMs: (first?.createdMs ?? 0) + 3_600_000 });
    expect(last).toEqual({
      id,
      role: 'learner',
      createdMs: (last?.expiresMs ?? 0) - 1,
      expiresMs: last?.expiresMs,
      expired: true,
      usedBy: '',
      usedByName: '',
    });
    expect(JSON.stringify(tokens)).not.toContain(secret);
  });

  it('take writes from many callers at followers', async () => {
    const puts = Array.from({ length: 60 }, (_, key) => client.put(`many/${key}`, Buffer.alloc(10_000, key)));
    await Promise.all(puts);
    expect((await client.range({ prefix: 'many/', countOnly: true })).count).toBe(60);
  });

  it('go on without one, which catches up after its restart', async () => {
    await folders.stop(at(2).node);
    await client.put('while/away', 'x');
    const { folder } = at(2);
    nodes[2] = { folder, node: await folders.start(folder) };
    await until(async () => (await statusOf(2)).leader !== '', 'a leader is known again');
    const through = await folders.client({ admin }, [at(2).node]);
    expect((await through.get('while/away')).item?.value.toString()).toBe('x');
  });

  it('answer typed refusals', async () => {
    const { cluster } = client;
    await expect(cluster.promote({ member: 'n9' })).rejects.toMatchObject({ code: 'MEMBER_UNKNOWN' });
    await expect(cluster.addToken({ role: 'king' })).rejects.toMatchObject({ field: 'role' });
    await expect(cluster.addToken({ ttlMs: 8 * 86_400_000 })).rejects.toMatchObject({ field: 'ttl_ms' });
    await expect(client.put('', 'x')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(cluster.promote({ member: 'n2' })).resolves.toBeUndefined();
  });

  it('hand over when the leader is to go, and the one that went says so', async () => {
    const { leader, members } = await client.cluster.status();
    const leaving = members.find((member) => member.nodeId === leader);
    const number = nodes.findIndex(({ folder }) => folder.configuration.name === leaving?.name);
    await until(async () => {
      try {
        await client.cluster.remove({ member: leader });
        return true;
      } catch (thrown) {
        if (!(thrown instanceof HoldfastError)) throw thrown;
        return thrown.code === 'MEMBER_UNKNOWN';
      }
    }, 'the leader is removed');
    await until(async () => (await voters()) === 2, 'two voters are left');
    await client.put('after', 'the removal');
    await until(() => at(number).folder.logger.warnings.includes(TAKEN_OUT_WARNING), 'its log says so');
    expect((await statusOf(number)).warnings).toContain(TAKEN_OUT_WARNING);
    const { node, folder } = at(number);
    await folders.stop(node);
    folder.logger.warnings.length = 0;
    nodes[number] = { folder, node: await folders.start(folder) };
    expect(folder.logger.warnings).toContain(TAKEN_OUT_WARNING);
  });

  it('never met what stops a node', () => {
    expect(folders.fatal).toEqual([]);
  });
});
