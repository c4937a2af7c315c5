import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connect, HoldfastClient, type HoldfastError } from '../../src/client/index.ts';
import type { HoldfastNode } from '../../src/node/holdfastNode.ts';
import type { AdminContext } from '../../src/node/initCluster.ts';
import { NodeFolders } from './nodeFolder.ts';
import { threeNodes } from './threeNodes.ts';

/* Users and their sessions, on three real nodes. */
const LIMIT_MS = 30_000;
const PASSWORD = 'correct horse battery';
const REFUSED = { code: 'UNAUTHENTICATED' };

let folders: NodeFolders;
let admin: HoldfastClient;
let context: AdminContext;
let nodes: readonly HoldfastNode[];
const clients = new Set<HoldfastClient>();

beforeAll(async () => {
  folders = new NodeFolders();
  ({ client: admin, admin: context, nodes } = await threeNodes(folders));
}, 2 * LIMIT_MS);

afterEach(async () => {
  for (const client of clients) await client.close();
  clients.clear();
});
afterAll(async () => {
  await folders.close();
  expect(folders.fatal).toEqual([]);
});

/** Whoever shows this token, or nothing. */
function clientOf(token: string | undefined, of: readonly HoldfastNode[] = nodes): HoldfastClient {
  const endpoints = of.map((node) => node.apiAddress);
  const client = new HoldfastClient({ endpoints, ca: context.ca, token, requestTimeoutMs: 10_000 });
  clients.add(client);
  return client;
}

const login = async (name: string, password = PASSWORD, of: readonly HoldfastNode[] = nodes) =>
  (await clientOf(undefined, of).access.login({ name, password })).token;
const create = (name: string, ...roles: string[]) =>
  admin.access.createUser({ name, password: PASSWORD, roles });

it(
  'a session that one node has made is good on every other at once, and over on all once it is ended',
  async () => {
    await create('ada', 'deployer');
    const of = nodes[2] === undefined ? [] : [nodes[2]];
    const token = await login('ada', PASSWORD, of);
    const other = await login('ada');
    for (const node of nodes) {
      const client = clientOf(token, [node]);
      expect(await client.access.whoAmI()).toMatchObject({ kind: 'user', name: 'ada', roles: ['deployer'] });
      await client.put('apps/x', 'value');
      expect((await client.get('apps/x')).item?.value.toString()).toBe('value');
    }
    const { expiresMs } = await clientOf(token).access.whoAmI();
    expect(expiresMs).toBeGreaterThan(7 * 3_600_000);
    await clientOf(token).access.logout();
    for (const node of nodes)
      await expect(clientOf(token, [node]).put('apps/x', 'y')).rejects.toMatchObject(REFUSED);
    await clientOf(other).put('apps/x', 'z');
  },
  LIMIT_MS,
);

describe('a session is over', () => {
  it(
    'when its user is deleted, also when there is another one of his name',
    async () => {
      await create('bob', 'viewer');
      const before = await login('bob');
      const client = await connect({
        endpoints: [nodes[0]?.apiAddress ?? ''],
        ca: context.ca,
        token: before,
      });
      clients.add(client);
      await admin.access.deleteUser({ name: 'bob' });
      await expect(client.get('key/1')).rejects.toMatchObject(REFUSED);
      await expect(login('bob')).rejects.toMatchObject(REFUSED);
      await create('bob', 'admin');
      await expect(clientOf(before).get('key/1')).rejects.toMatchObject(REFUSED);
    },
    LIMIT_MS,
  );

  it(
    'when its user has changed his password, which takes the old one',
    async () => {
      await create('carol', 'viewer');
      const token = await login('carol');
      const { access } = clientOf(token);
      const newPassword = 'another password';
      await expect(access.changePassword({ oldPassword: 'wrong one', newPassword })).rejects.toMatchObject(
        REFUSED,
      );
      await expect(
        access.changePassword({ oldPassword: PASSWORD, newPassword: 'short' }),
      ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', field: 'password' });
      await expect(access.setPassword({ name: 'carol', password: newPassword })).rejects.toMatchObject({
        code: 'PERMISSION_DENIED',
      });
      await access.changePassword({ oldPassword: PASSWORD, newPassword });
      await expect(clientOf(token).get('key/1')).rejects.toMatchObject(REFUSED);
      await expect(login('carol')).rejects.toMatchObject(REFUSED);
      await clientOf(await login('carol', newPassword)).get('key/1');
    },
    LIMIT_MS,
  );

  it(
    'when an administrator has set another password',
    async () => {
      await create('dave', 'viewer');
      const token = await login('dave');
      await admin.access.setPassword({ name: 'dave', password: 'a third password' });
      await expect(clientOf(token).get('key/1')).rejects.toMatchObject(REFUSED);
      await clientOf(await login('dave', 'a third password')).get('key/1');
    },
    LIMIT_MS,
  );

  it(
    'for a watch that is open',
    async () => {
      await create('erin', 'viewer');
      const token = await login('erin');
      const watch = clientOf(token).watch({ key: 'key/1' });
      const ended = (async () => {
        for await (const _batch of watch) continue;
      })().then(
        () => 'ended',
        (thrown: { code: string }) => thrown.code,
      );
      await watch.ready();
      await admin.access.deleteUser({ name: 'erin' });
      expect(await ended).toBe('UNAUTHENTICATED');
    },
    LIMIT_MS,
  );
});

describe('a login', () => {
  it(
    'says the same whatever is wrong, and has to wait after some failures, be there such a user or not',
    async () => {
      await create('fred', 'viewer');
      const [node] = nodes;
      const at = node === undefined ? [] : [node];
      for (const name of ['fred', 'nobody', '__proto__', '']) {
        const { access } = clientOf(undefined, at);
        const codes: string[] = [];
        const messages = new Set<string>();
        const attempt = (timeoutMs: number) =>
          access.login({ name, password: 'wrong password' }, { timeoutMs }).catch((thrown: HoldfastError) => {
            codes.push(thrown.code);
            if (thrown.code === 'UNAUTHENTICATED') messages.add(thrown.message);
          });
        for (let tries = 0; tries < 5; tries += 1) await attempt(10_000);
        // The wait is a second at first; where a try takes longer, one of the next ones has to wait.
        for (let tries = 0; tries < 6 && codes.at(-1) !== 'OVERLOADED'; tries += 1) await attempt(500);
        expect([name, codes.slice(0, 5), codes.at(-1)]).toEqual([
          name,
          Array.from({ length: 5 }, () => 'UNAUTHENTICATED'),
          'OVERLOADED',
        ]);
        expect([...messages]).toEqual(['the user or the password is wrong']);
      }
    },
    2 * LIMIT_MS,
  );

  it('is of who is nobody: a token that is not good does not matter', async () => {
    await create('gina', 'viewer');
    const { token } = await clientOf('a.b.c').access.login({ name: 'gina', password: PASSWORD });
    expect(await clientOf(token).access.whoAmI()).toMatchObject({ name: 'gina' });
  });

  it('is for users: tokens and clients have no session to end and no password', async () => {
    await expect(admin.access.logout()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(
      admin.access.changePassword({ oldPassword: PASSWORD, newPassword: PASSWORD }),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

it('a session that was tampered with is nobody', async () => {
  await create('hal', 'viewer');
  const token = await login('hal');
  const [header = '', claims = '', signature = ''] = token.split('.');
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const none = encoded({ alg: 'none', typ: 'holdfast-session+jwt' });
  const said = JSON.parse(Buffer.from(claims, 'base64url').toString()) as object;
  for (const wrong of [
    `${none}.${claims}.`,
    `${none}.${claims}.${signature}`,
    `${header}.${encoded({ ...said, sub: 'admin' })}.${signature}`,
    `${header}.${claims}`,
    token.slice(0, -2),
  ])
    await expect(clientOf(wrong).get('key/1')).rejects.toMatchObject(REFUSED);
  await clientOf(token).get('key/1');
});

it('users are listed by name, without anything of their passwords', async () => {
  await create('zoe', 'viewer', 'deployer');
  const { users } = await admin.access.users();
  const names = users.map(({ name }) => name);
  expect(names).toEqual(names.toSorted());
  expect(names).toContain('zoe');
  expect(users.find(({ name }) => name === 'zoe')).toMatchObject({
    roles: ['viewer', 'deployer'],
    createdBy: 'client admin',
  });
  expect(JSON.stringify(users)).not.toContain('scrypt');
});
