import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { present } from '../../src/base/assert.ts';
import { type AuditEntry, connect, type HoldfastClient } from '../../src/client/index.ts';
import type { HoldfastNode } from '../../src/node/holdfastNode.ts';
import type { AdminContext } from '../../src/node/initCluster.ts';
import { accessService } from '../../src/proto/access.ts';
import { NodeFolders } from './nodeFolder.ts';
import { threeNodes } from './threeNodes.ts';
import { until } from './until.ts';

/* What access tokens may do, on three real nodes. */
const LIMIT_MS = 30_000;
const NAMES = ['apps/a', 'apps/b', 'apps/private/x', 'other/c', 'secrets/s'];

let folders: NodeFolders;
let admin: HoldfastClient;
let context: AdminContext;
let nodes: readonly HoldfastNode[];
const clients = new Set<HoldfastClient>();

beforeAll(async () => {
  folders = new NodeFolders();
  ({ client: admin, admin: context, nodes } = await threeNodes(folders));
  for (const name of NAMES) await admin.put(name, `value of ${name}`);
  await admin.access.putPolicy({
    role: 'apps',
    rules: [
      { path: 'apps/**', capabilities: ['list', 'read', 'write'] },
      { path: 'apps/private/*', capabilities: ['list'] },
      { path: 'secrets/*', capabilities: ['list', 'read'] },
    ],
    admin: [],
  });
}, 2 * LIMIT_MS);

afterEach(async () => {
  for (const client of clients) await client.close();
  clients.clear();
});
afterAll(async () => {
  await folders.close();
  expect(folders.fatal).toEqual([]);
});

/** Whoever shows this token, and nothing else. */
async function withToken(token: string, of: readonly HoldfastNode[] = nodes): Promise<HoldfastClient> {
  const endpoints = of.map((node) => node.apiAddress);
  const client = await connect({ endpoints, ca: context.ca, token, requestTimeoutMs: 10_000 });
  clients.add(client);
  return client;
}

const tokenOf = async (...roles: string[]) => admin.access.createToken({ roles });

it(
  'a token is good on every node as soon as it is made, and void on every node as soon as it is revoked',
  async () => {
    for (let round = 0; round < 5; round += 1) {
      const { token, id } = await tokenOf('apps');
      for (const node of nodes) {
        const client = await withToken(token, [node]);
        expect(await client.access.whoAmI()).toMatchObject({ kind: 'token', name: id, roles: ['apps'] });
      }
      await admin.access.revokeToken({ id });
      const refused = { code: 'UNAUTHENTICATED' };
      for (const client of clients) {
        await expect(client.put('apps/a', 'x')).rejects.toMatchObject(refused);
        await expect(client.get('apps/a')).rejects.toMatchObject(refused);
        await client.close();
      }
      clients.clear();
      // Each node has heard of it, since the reads above have waited for that.
      await expect(withToken(token)).rejects.toMatchObject(refused);
      expect((await admin.get('apps/a')).item?.value.toString()).toBe('value of apps/a');
    }
  },
  LIMIT_MS,
);

it(
  'reads show what may be seen, as if there were nothing else',
  async () => {
    const client = await withToken((await tokenOf('apps')).token);
    const names = async (options: object) => {
      const { items, count } = await client.range({ prefix: '', ...options });
      expect(count).toBe(options && 'limit' in options ? count : items.length);
      return items.map(({ key }) => key.toString());
    };
    expect(await names({})).toEqual(['apps/a', 'apps/b']);
    expect(await names({ serializable: true })).toEqual(['apps/a', 'apps/b']);
    expect(await names({ keysOnly: true })).toEqual(['apps/a', 'apps/b', 'apps/private/x', 'secrets/s']);
    expect((await client.range({ prefix: '', countOnly: true })).count).toBe(4);
    expect(
      (await client.range({ prefix: '', countOnly: true, revision: (await admin.get('x')).revision })).count,
    ).toBe(4);

    for (const name of ['apps/private/x', 'other/c', 'other/nothing', 'secrets/s', 'apps']) {
      const denied = { code: 'PERMISSION_DENIED', message: 'no role allows to read this name' };
      await expect(client.get(name)).rejects.toMatchObject(denied);
      await expect(client.get(name, { serializable: true })).rejects.toMatchObject(denied);
      await expect(client.get(name, { revision: 2 })).rejects.toMatchObject(denied);
      await expect(client.history(name)).rejects.toMatchObject(denied);
      await expect(client.put(name, 'x', { previous: true })).rejects.toMatchObject({
        code: 'PERMISSION_DENIED',
      });
    }
    await expect(client.delete({ prefix: 'apps/' })).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
  },
  LIMIT_MS,
);

it(
  "a page token of somebody else shows no more than one's own",
  async () => {
    const client = await withToken((await tokenOf('apps')).token);
    const { nextPageToken } = await admin.range({ prefix: '', limit: 2 });
    const page = await client.range({ prefix: '', limit: 2, pageToken: nextPageToken ?? Buffer.alloc(0) });
    expect(page.items.map(({ key }) => key.toString())).toEqual([]);
  },
  LIMIT_MS,
);

it(
  'a watch tells what may be read now, no more once that is withdrawn, and ends when the token is revoked',
  async () => {
    const { token, id } = await tokenOf('apps');
    const client = await withToken(token);
    const seen: string[] = [];
    const watch = client.watch({ prefix: '' });
    let ended: unknown = null;
    const watching = (async () => {
      for await (const { events } of watch)
        seen.push(...events.map(({ item }) => `${item.key.toString()} ${item.value.toString()}`));
    })().catch((thrown: unknown) => {
      ended = thrown;
    });
    const write = async (value: string) => {
      for (const name of [...NAMES, 'apps/last']) await admin.put(name, value);
    };
    await until(
      async () => {
        await admin.put('apps/last', '0');
        return seen.includes('apps/last 0');
      },
      'the watch is open',
      LIMIT_MS,
    );
    await write('1');
    await until(() => seen.includes('apps/last 1'), 'what came last', LIMIT_MS);
    const since = (round: number) => seen.filter((line) => Number(line.split(' ')[1]) >= round);
    expect(since(1)).toEqual(['apps/a 1', 'apps/b 1', 'apps/last 1']);

    await admin.access.putPolicy({
      role: 'apps',
      rules: [{ path: 'apps/last', capabilities: ['list', 'read'] }],
      admin: [],
    });
    await write('2');
    await until(() => seen.includes('apps/last 2'), 'what came last', LIMIT_MS);
    expect(since(2)).toEqual(['apps/last 2']);

    await admin.access.revokeToken({ id });
    await write('3');
    await until(() => ended !== null, 'the watch to end', LIMIT_MS);
    expect(ended).toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(since(3)).toEqual([]);
    await watching;
  },
  2 * LIMIT_MS,
);

it('the digest of the state is told only to who may read all of it', async () => {
  const operator = await withToken((await tokenOf('operator')).token);
  const other = await withToken((await tokenOf('admin')).token);
  const { digest, log } = await operator.cluster.status();
  expect([digest, log?.lastHash]).toEqual(['', '']);
  for (const client of [admin, other])
    expect((await client.cluster.status()).digest).toMatch(/^[0-9a-f]{64}$/);
});

it('a token whose role was taken away sees no range any more', async () => {
  const { token, id } = await tokenOf('apps');
  const client = await withToken(token);
  await client.range({ prefix: 'apps/' });
  await admin.access.revokeToken({ id });
  for (const options of [{}, { countOnly: true }])
    await expect(client.range({ prefix: 'apps/', ...options })).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
  // By the state of a node, which may not have heard of it yet.
  const refusal = () =>
    client.range({ prefix: 'apps/', serializable: true }).then(
      () => '',
      ({ code }: { readonly code: string }) => code,
    );
  await until(async () => (await refusal()) === 'UNAUTHENTICATED', 'every node has heard of it');
});

it(
  'who is refused before a node is asked leaves a record: with a token where it takes a certificate, and with nothing',
  async () => {
    const { token, id } = await tokenOf('admin');
    const client = await withToken(token);
    const renewal = client.cluster.renewClient({ csr: Buffer.alloc(1) });
    await expect(renewal).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    const { client: stranger, metadata } = strangerOf(present(nodes[0], 'node'), context.ca);
    for (const [text, detail] of [
      ['', 'no certificate and no token'],
      ['Basic x', 'an authorization that is not Bearer and a token'],
    ] as const) {
      if (text !== '') metadata.set('authorization', text);
      expect(await whoAmI(stranger, metadata)).toBe(status.UNAUTHENTICATED);
      await until(async () => (await denials()).some((one) => one.detail === detail), detail);
    }
    stranger.close();
    const renew = '/holdfast.v1.Cluster/RenewClient';
    await until(async () => (await denials()).some(({ detail }) => detail === renew), 'its record');
    expect((await denials()).find(({ detail }) => detail === renew)).toMatchObject({
      principalKind: 'token',
      principal: id,
      result: 'PERMISSION_DENIED',
    });
    for (const { principalKind, address } of await denials('no certificate and no token'))
      expect([principalKind, address]).toEqual(['', expect.stringMatching(/^127\.0\.0\.1:\d+$/)]);
  },
  LIMIT_MS,
);

async function denials(of = ''): Promise<readonly AuditEntry[]> {
  const found: AuditEntry[] = [];
  for await (const record of admin.audit.records({ action: 'access.denied' }))
    if (of === '' || record.detail === of) found.push(record);
  return found;
}

/** A connection that shows nothing. */
function strangerOf({ apiAddress }: HoldfastNode, ca: string) {
  const address = apiAddress.replace('127.0.0.1', 'localhost');
  const secured = credentials.createSsl(Buffer.from(ca));
  return { client: new Client(address, secured, { 'grpc.enable_retries': 0 }), metadata: new Metadata() };
}

function whoAmI(client: Client, metadata: Metadata): Promise<status> {
  const { path, requestSerialize, responseDeserialize } = present(accessService['whoAmI'], 'whoAmI');
  const deadline = Date.now() + 10_000;
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      {},
      metadata,
      { deadline },
      (error) => resolve(error?.code ?? status.OK),
    );
  });
}
