import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BUILT_IN_ROLES } from '../../src/access/policy/builtInRoles.ts';
import { RPC_RULES } from '../../src/api/rpcRules.ts';
import { present } from '../../src/base/assert.ts';
import type { HoldfastClient } from '../../src/client/index.ts';
import { accessService } from '../../src/proto/access.ts';
import { auditService } from '../../src/proto/auditService.ts';
import { clusterService, type StatusResponse } from '../../src/proto/cluster.ts';
import { kvService } from '../../src/proto/kv.ts';
import type { MethodDefinition } from '../../src/proto/registry.ts';
import { PROTO_FOLDER } from '../../src/proto/registry.ts';
import { NodeFolders } from './nodeFolder.ts';

/* Every method that the .proto files have, asked by every role that comes built in, of a real node. */
type Method = MethodDefinition<object, object>;
const METHODS: readonly Method[] = [kvService, clusterService, accessService, auditService].flatMap(
  (service) => Object.values(service),
);

/** What each role may do: written out once more, by hand. */
const ROLES: Readonly<
  Record<string, { readonly plain: string; readonly secret: string; readonly admin: string }>
> = {
  admin: {
    plain: 'list read write delete reveal rollback',
    secret: 'list read write delete reveal rollback',
    admin: 'cluster keys snapshots access audit',
  },
  operator: {
    plain: 'list read write delete rollback',
    secret: 'list delete rollback',
    admin: 'cluster keys snapshots',
  },
  deployer: { plain: 'list read write', secret: 'list read', admin: '' },
  viewer: { plain: 'list read', secret: 'list', admin: '' },
};

const key = (text: string) => Buffer.from(text, 'latin1');
const one = (name: string) => ({ start: key(name), end: key(`${name}\0`) });

/** A request about a name, and what it takes to have it done: `value` is reading, or revealing where the name is secret. */
const ABOUT_NAMES: Readonly<Record<string, readonly (readonly [need: string, (name: string) => object])[]>> =
  {
    Put: [
      ['write', (name) => ({ key: key(name), value: key('x') })],
      ['write value', (name) => ({ key: key(name), value: key('x'), previous: true })],
    ],
    Get: [
      ['value', (name) => ({ key: key(name) })],
      ['value', (name) => ({ key: key(name), serializable: true })],
    ],
    Delete: [
      ['delete', (name) => ({ range: one(name) })],
      ['delete value', (name) => ({ range: one(name), previous: true })],
    ],
    // A range shows what may be seen, and is never denied.
    Range: [['', (name) => ({ range: one(name) })]],
    Txn: [
      ['value', (name) => ({ compares: [{ key: key(name), target: 0, relation: 0 }] })],
      ['list', (name) => ({ compares: [{ key: key(name), target: 1, relation: 0 }] })],
      ['list value', (name) => ({ success: [{ range: { range: one(name) } }] })],
      ['list', (name) => ({ failure: [{ range: { range: one(name), keysOnly: true } }] })],
    ],
    History: [
      ['value', (name) => ({ key: key(name) })],
      ['list', (name) => ({ key: key(name), keysOnly: true })],
    ],
  };

/** Requests that pass the checks of their shape, and do no harm where they are allowed. */
const OTHERS: Readonly<Record<string, object>> = {
  Compact: { revision: 1_000_000 },
  CloseClient: { clientId: 1_000_000 },
  PromoteMember: { member: 'nobody' },
  DemoteMember: { member: 'nobody' },
  RemoveMember: { member: 'nobody' },
  TransferLeadership: { member: 'nobody' },
  RevokeToken: { id: 'nobody' },
  PutPolicy: { policy: { role: 'made', rules: [], admin: [] } },
  DeletePolicy: { role: 'nobody' },
  ExplainPolicy: { who: 'viewer', action: 'read', key: key('x') },
  CreateAccessToken: { description: '', roles: ['viewer'], ttlMs: 0 },
  RevokeAccessToken: { id: '0'.repeat(16) },
  Login: { name: 'nobody', password: key('wrong password') },
  SetSettings: { settings: { reads: [], retentionMs: 0 } },
  ChangePassword: { oldPassword: key('wrong password'), newPassword: key('x'.repeat(8)) },
  CreateUser: { name: 'made', password: key('x'.repeat(7)), roles: ['viewer'] },
  DeleteUser: { name: 'nobody' },
  SetPassword: { name: 'nobody', password: key('x'.repeat(8)) },
  SetUserRoles: { name: 'nobody', roles: ['viewer'] },
};
/** Would change the ground that the others stand on. */
const LAST = ['RotateAuthority', 'FinishAuthorityRotation'];

let folders: NodeFolders;
let admin: HoldfastClient;
const channels = new Map<string, { readonly client: Client; readonly metadata: Metadata }>();

beforeAll(async () => {
  folders = new NodeFolders();
  const folder = await folders.first('n1');
  const node = await folders.start(folder);
  admin = await folders.client(folder, [node]);
  const address = node.apiAddress.replace('127.0.0.1', 'localhost');
  for (const role of BUILT_IN_ROLES.keys()) {
    const { token } = await admin.access.createToken({ roles: [role] });
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    const secured = credentials.createSsl(Buffer.from(folder.admin.ca));
    channels.set(role, { client: new Client(address, secured, { 'grpc.enable_retries': 0 }), metadata });
  }
}, 60_000);

afterAll(async () => {
  for (const { client } of channels.values()) client.close();
  await folders.close();
});

/** What is asked in these tests sets it too. */
beforeEach(() => admin.audit.setSettings({ reads: ['secrets/**'], retentionMs: 0 }));

/** The status of one call; of a stream, of what it says first. */
function codeOf(role: string, method: Method, request: object): Promise<status> {
  const { client, metadata } = present(channels.get(role), role);
  const { path: name, requestSerialize, responseDeserialize } = method;
  const options = { deadline: Date.now() + 10_000 };
  return new Promise((resolve) => {
    if (!method.requestStream) {
      client.makeUnaryRequest(
        name,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        options,
        (error) => resolve(error?.code ?? status.OK),
      );
      return;
    }
    const stream = client.makeBidiStreamRequest(
      name,
      requestSerialize,
      responseDeserialize,
      metadata,
      options,
    );
    stream.on('error', () => undefined);
    stream.on('status', ({ code }) => resolve(code));
    stream.on('metadata', () => stream.end());
    stream.on('data', () => undefined);
  });
}

const methodName = ({ path: name }: Method): string => name.split('/').at(-1) ?? '';

describe('the rules', () => {
  it('are one for each method of the .proto files, and no more', () => {
    const declared = ['kv', 'cluster', 'access', 'audit'].flatMap((file) => {
      const text = readFileSync(path.join(PROTO_FOLDER, `holdfast/v1/${file}.proto`), 'utf8');
      const service = /^service (\w+)/m.exec(text)?.[1] ?? '';
      return [...text.matchAll(/^ {2}rpc (\w+)\(/gm)].map(([, name]) => `/holdfast.v1.${service}/${name}`);
    });
    expect(declared.length).toBeGreaterThan(30);
    expect([...RPC_RULES.keys()].toSorted()).toEqual(declared.toSorted());
    expect(METHODS.map((method) => method.path).toSorted()).toEqual(declared.toSorted());
    expect([...BUILT_IN_ROLES.keys()]).toEqual(Object.keys(ROLES));
  });
});

describe.each(Object.keys(ROLES))('role %s', (role) => {
  const { plain, secret } = present(ROLES[role], role);

  it.each(Object.entries({ 'apps/x': plain, 'secrets/x': secret }))('about %s', async (name, allowed) => {
    const value = name.startsWith('secrets/') ? 'reveal' : 'read';
    const may = new Set(allowed.split(' '));
    const asked = new Set<string>();
    for (const method of METHODS) {
      for (const [need, request] of ABOUT_NAMES[methodName(method)] ?? []) {
        asked.add(method.path);
        const needs = need === '' ? [] : need.replace('value', value).split(' ');
        const expected = needs.every((capability) => may.has(capability))
          ? status.OK
          : status.PERMISSION_DENIED;
        const shown = `${method.path} needs ${need}: ${JSON.stringify(request(''))}`;
        expect([shown, await codeOf(role, method, request(name))]).toEqual([shown, expected]);
      }
    }
    const streams = ['/holdfast.v1.Kv/Session', '/holdfast.v1.Kv/Watch'];
    const byNames = [...RPC_RULES].flatMap(([rpc, rule]) => (rule === 'names' ? [rpc] : []));
    expect([...asked, ...streams].toSorted()).toEqual(byNames.toSorted());
  });

  it('in every other method', async () => {
    const isOther = (method: Method): boolean => !(methodName(method) in ABOUT_NAMES);
    for (const method of METHODS.filter(isOther)) if (!isLast(method)) await expectByArea(role, method);
  }, 30_000);
});

/** What a role has to administer for it: said here once more, so that a rule that is changed is noticed. */
const ASKS_FOR: Readonly<Record<string, string>> = {
  cluster:
    'Compact AddToken TokenList RevokeToken PromoteMember DemoteMember RemoveMember TransferLeadership',
  keys: 'BeginKeyChange ConfirmKeyChange AbortKeyChange RotateAuthority FinishAuthorityRotation GetAuthorityStatus',
  access:
    'PutPolicy DeletePolicy PolicyList ExplainPolicy CreateAccessToken AccessTokenList RevokeAccessToken CreateUser DeleteUser SetPassword SetUserRoles UserList',
  audit: 'List Head GetSettings SetSettings GetAlerts SetAlerts',
  // A certificate: no role has one.
  certificate: 'RenewClient',
  nothing: 'Watch Session RegisterClient CloseClient Status MemberList WhoAmI Login Logout ChangePassword',
};
const AREA_OF = new Map(
  Object.entries(ASKS_FOR).flatMap(([area, methods]) => methods.split(' ').map((name) => [name, area])),
);

/** Asks for what no name says whether it is allowed. */
async function expectByArea(role: string, method: Method): Promise<void> {
  const administers = new Set<string>(present(ROLES[role], role).admin.split(' '));
  const area = present(AREA_OF.get(methodName(method)), methodName(method));
  const isDenied = area !== 'nothing' && !administers.has(area);
  const code = await codeOf(role, method, OTHERS[methodName(method)] ?? {});
  expect([role, method.path, code === status.PERMISSION_DENIED]).toEqual([role, method.path, isDenied]);
}

const isLast = (method: Method): boolean => LAST.includes(methodName(method));

describe('the status', () => {
  const statusMethod = present(
    METHODS.find((method) => methodName(method) === 'Status'),
    'Status',
  );
  function statusBy(token: string): Promise<StatusResponse> {
    const { client } = present(channels.get('admin'), 'admin');
    const { path: name, requestSerialize, responseDeserialize } = statusMethod;
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(name, requestSerialize, responseDeserialize, {}, metadata, (error, told) =>
        error ? reject(error) : resolve(told as StatusResponse),
      );
    });
  }

  /** What each area is told beside what everybody is. */
  it.each([
    ['', ''],
    ['access', ''],
    ['audit', 'audit'],
    ['keys', 'keys'],
    ['cluster', 'cluster keys'],
    ['cluster audit', 'cluster keys audit'],
  ])('tells who administers %j no more than the parts %j', async (areas, told) => {
    const rules = [{ path: '**', capabilities: ['list', 'read'] }];
    const area = areas.split(' ').filter((one) => one !== '');
    await admin.access.putPolicy({ role: 'asker', rules, admin: area });
    const { token } = await admin.access.createToken({ roles: ['asker'] });
    const parts = new Set(told.split(' '));
    const status = await statusBy(token);
    expect(status.withheld).toEqual(['cluster', 'keys', 'audit'].filter((part) => !parts.has(part)));
    expect(status).toMatchObject({ role: 'leader', leader: status.nodeId, state: 'sound' });
    expect(status).toMatchObject({
      version: expect.stringMatching(/./),
      clusterId: expect.stringMatching(/./),
    });
    expect(status.members).toMatchObject([{ nodeId: status.nodeId, role: 'voter', reachable: true }]);
    const [{ apiAddress, peerAddress, matchIndex } = { apiAddress: '' }] = status.members;
    expect(apiAddress).not.toBe('');
    const isTold = (value: unknown): boolean => Boolean(value);
    const { uptimeMs, wallTimeMs, logTimeMs, disk, scrub, log } = status;
    const ofCluster = [peerAddress, matchIndex, uptimeMs, wallTimeMs, logTimeMs, disk, scrub, log].map(
      isTold,
    );
    expect(new Set(ofCluster)).toEqual(new Set([parts.has('cluster')]));
    const { encryption, controlKeyFingerprint, jwtSecretFingerprint } = status;
    const ofKeys = [encryption, controlKeyFingerprint, jwtSecretFingerprint].map(isTold);
    expect(new Set(ofKeys)).toEqual(new Set([parts.has('keys')]));
    const { members } = await admin.cluster.members();
    expect(members[0]?.peerAddress).not.toBe('');
  });
});

it('nobody is let in by what is no token', async () => {
  const { client } = present(channels.get('admin'), 'admin');
  for (const text of ['Bearer x', `Bearer hft_${'0'.repeat(16)}_${'A'.repeat(43)}_00000000`, 'Basic x', '']) {
    const metadata = new Metadata();
    metadata.set('authorization', text);
    channels.set('wrong', { client, metadata });
    for (const method of METHODS)
      expect([method.path, await codeOf('wrong', method, {})]).toEqual([method.path, status.UNAUTHENTICATED]);
  }
}, 30_000);

it('the CA is changed by who administers keys', async () => {
  for (const role of Object.keys(ROLES))
    for (const method of METHODS.filter(isLast)) await expectByArea(role, method);
}, 30_000);
