import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { recordHash } from '../../src/audit/record/chain.ts';
import { isSignedBy } from '../../src/audit/record/checkpoint.ts';
import { present } from '../../src/base/assert.ts';
import { asBuffer } from '../../src/base/bytes.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { type AuditEntry, compare, del, get, type HoldfastClient, put } from '../../src/client/index.ts';
import type { HoldfastNode } from '../../src/node/holdfastNode.ts';
import type { AdminContext } from '../../src/node/initCluster.ts';
import type { AuditCheckpoint } from '../../src/proto/audit.ts';
import type { GetResponse } from '../../src/proto/kv.ts';
import { NodeCalls } from './nodeCalls.ts';
import { NodeFolders } from './nodeFolder.ts';
import { threeNodes } from './threeNodes.ts';
import { until } from './until.ts';

/* No value of an audited name without a record, whatever the way to it: on three real nodes. */
const LIMIT_MS = 30_000;

let folders: NodeFolders;
let admin: HoldfastClient;
let context: AdminContext;
let nodes: readonly HoldfastNode[];
/** Of each node, as somebody who may do everything. */
let each: readonly NodeCalls[];
let nodeIds: readonly string[];
/** The last record before the test. */
let before: number;

beforeAll(async () => {
  folders = new NodeFolders();
  ({ client: admin, admin: context, nodes } = await threeNodes(folders));
  const { token } = await admin.access.createToken({ roles: ['admin'] });
  each = nodes.map((node) => callsOf(node, token));
  await firstUse(token);
  const { members } = await admin.cluster.status();
  const idOf = ({ apiAddress }: HoldfastNode) =>
    members.find((member) => member.apiAddress === apiAddress)?.nodeId ?? '';
  nodeIds = nodes.map(idOf);
}, 2 * LIMIT_MS);
beforeEach(async () => {
  await admin.audit.setSettings({ reads: ['secrets/**'], retentionMs: 0 });
  await admin.put('secrets/a', 'old');
  await admin.put('secrets/a', 'value');
  await admin.put('open', 'value');
  before = (await admin.audit.head()).sequence;
});
afterAll(async () => {
  vi.restoreAllMocks();
  for (const node of each) node.close();
  await folders.close();
  expect(folders.fatal).toEqual([]);
});

const callsOf = ({ apiAddress: address }: HoldfastNode, token: string): NodeCalls =>
  new NodeCalls({ address, ca: context.ca, token });

/** That a token is used for the first time is recorded a moment later: in no test that counts. */
async function firstUse(token: string): Promise<void> {
  const uses = async () => {
    let count = 0;
    for await (const { action } of admin.audit.records()) if (action === 'token.new-address') count += 1;
    return count;
  };
  const known = await uses();
  const first = callsOf(present(nodes[0], 'node'), token);
  await first.range('');
  first.close();
  await until(async () => (await uses()) > known, 'its first use is recorded');
}

async function recordsSince(sequence = before): Promise<readonly AuditEntry[]> {
  const found: AuditEntry[] = [];
  const fromSequence = sequence === 0 ? 0 : sequence + 1;
  for await (const record of admin.audit.records({ fromSequence })) found.push(record);
  return found;
}

const deeds = async () =>
  (await recordsSince()).map(({ action, resource, result }) => {
    const name = asBuffer(resource).toString();
    return `${action} ${name}${result === 'OK' ? '' : ` ${result}`}`;
  });

it(
  'a get, a range, a page, a history, of the newest and of an old revision, on any node, also serializable',
  async () => {
    const { revision } = await admin.get('open');
    const valueOf = async (answer: Promise<GetResponse>) => String((await answer).item?.value ?? 'none');
    for (const node of each) {
      expect(await valueOf(node.get('secrets/a'))).toBe('value');
      expect(await valueOf(node.get('secrets/a', { serializable: true }))).toBe('value');
      expect(await valueOf(node.get('secrets/a', { revision: revision - 2 }))).toBe('old');
      expect(await valueOf(node.get('secrets/none'))).toBe('none');
      const { items, count } = await node.range('');
      const names = items.map(({ key }) => String(key)).filter((key) => !key.startsWith('key/'));
      expect([names, count]).toEqual([['open', 'secrets/a'], items.length]);
      await node.range('', { serializable: true });
      const first = await node.range('', { limit: items.length - 1 });
      expect(first.items.at(-1)?.key.toString()).toBe('open');
      const last = await node.range('', { pageToken: first.nextPageToken });
      expect(last.items.map(({ key, value }) => [String(key), String(value)])).toEqual([
        ['secrets/a', 'value'],
      ]);
      const { versions } = await node.history('secrets/a');
      expect(versions.map(({ item }) => String(item?.value))).toContain('old');
    }
    const one = Array.from({ length: 7 }, () => 'kv.reveal secrets/a');
    expect(await deeds()).toEqual([...one, ...one, ...one]);
  },
  LIMIT_MS,
);

it('names alone, counts, and what is not audited leave no record', async () => {
  for (const node of each) {
    await node.get('open');
    await node.range('', { keysOnly: true });
    await node.range('', { countOnly: true });
    await node.range('o');
    await node.history('secrets/a', { keysOnly: true });
  }
  expect(await deeds()).toEqual([]);
});

it('a branch of a transaction, a previous value, and a compare', async () => {
  await admin.transaction({ success: [get('secrets/a')] });
  await admin.transaction({ compares: [compare.value('secrets/a').equals('guess')], failure: [] });
  await admin.put('secrets/a', 'new', { previous: true });
  await admin.transaction({
    success: [put('open', 'x', { previous: true }), del('secrets/a', { previous: true })],
  });
  expect(await deeds()).toEqual([
    'kv.reveal secrets/a',
    'kv.compare secrets/a',
    'kv.put secrets/a',
    'kv.reveal secrets/a',
    'kv.put open',
    'kv.delete secrets/a',
    'kv.reveal secrets/a',
  ]);
});

it('a watch tells the name and not the value, also of what was before', async () => {
  const watch = admin.watch({ prefix: '', previous: true });
  const told: unknown[] = [];
  await watch.ready();
  await admin.put('secrets/a', 'newer');
  await admin.delete('secrets/a');
  await admin.put('open', 'end');
  for await (const { events } of watch) {
    for (const { type, item, previous, withheld } of events)
      told.push([type, String(item.key), String(item.value), String(previous?.value ?? ''), withheld]);
    if (told.length === 3) break;
  }
  expect(told).toEqual([
    ['put', 'secrets/a', '', '', true],
    ['delete', 'secrets/a', '', '', true],
    ['put', 'open', 'end', 'value', false],
  ]);
});

it(
  'what was made audited on another node a moment ago',
  async () => {
    for (let round = 0; round < 10; round += 1) {
      await admin.audit.setSettings({ reads: [], retentionMs: 0 });
      for (const node of each) await node.get('open');
      await admin.audit.setSettings({ reads: ['open'], retentionMs: 0 });
      const { sequence } = await admin.audit.head();
      for (const node of each) await node.get('open');
      expect((await recordsSince(sequence)).map(({ action }) => action)).toEqual([
        'kv.read',
        'kv.read',
        'kv.read',
      ]);
    }
  },
  LIMIT_MS,
);

it(
  'many at once have each their own record, and who may not read is denied and recorded',
  async () => {
    const { token, id } = await admin.access.createToken({ roles: ['viewer'] });
    await firstUse(token);
    before = (await admin.audit.head()).sequence;
    for (const [at, node] of nodes.entries()) {
      const viewer = callsOf(node, token);
      const reads = Array.from({ length: 300 }, () => present(each[at], 'node').get('secrets/a'));
      await expect(viewer.get('secrets/a')).rejects.toThrow('PERMISSION_DENIED');
      expect((await viewer.range('')).items.map(({ key }) => String(key))).not.toContain('secrets/a');
      for (const { item } of await Promise.all(reads)) expect(String(item?.value)).toBe('value');
      viewer.close();
    }
    await until(async () => (await recordsSince()).length >= 903, 'the denials are recorded');
    const records = await recordsSince();
    const denied = records.filter(({ result }) => result === 'PERMISSION_DENIED');
    expect(records).toHaveLength(903);
    expect(
      denied.map(({ principalKind, principal, node }) => `${principalKind} ${principal} ${node}`).toSorted(),
    ).toEqual(nodeIds.map((nodeId) => `token ${id} ${nodeId}`).toSorted());
    expect(new Set(denied.map(({ action }) => action))).toEqual(new Set(['kv.reveal']));
  },
  LIMIT_MS,
);

it('the chain is whole, and the same on every node', async () => {
  let previousHash: Uint8Array = Buffer.alloc(32);
  for (const record of await recordsSince(0)) {
    expect(asBuffer(record.previousHash).equals(previousHash)).toBe(true);
    expect(
      recordHash(record, { ...record, previousHash: asBuffer(record.previousHash) }).equals(record.hash),
    ).toBe(true);
    previousHash = record.hash;
  }
  const { sequence } = await admin.audit.head();
  const heads = await Promise.all(nodes.map(({ apiAddress: to }) => admin.audit.head({ sequence, to })));
  expect(new Set(heads.map(({ hash }) => asBuffer(hash).toString('hex')))).toEqual(
    new Set([asBuffer(previousHash).toString('hex')]),
  );
  expect(heads.map(({ node }) => node)).toEqual(nodeIds);
});

it('records are found by who, what, when and how it ended', async () => {
  const all = await recordsSince(0);
  const count = async (options: object): Promise<number> => {
    let found = 0;
    for await (const _ of admin.audit.records(options)) found += 1;
    return found;
  };
  expect(await count({ result: 'denied' })).toBe(all.filter(({ result }) => result !== 'OK').length);
  expect(await count({ action: 'kv.compare' })).toBe(1);
  expect(await count({ resource: 'secrets/*', action: 'kv.delete' })).toBe(2);
  expect(await count({ principal: 'nobody' })).toBe(0);
  const middle = all[100];
  expect(await count({ sinceMs: middle?.timeMs ?? 0, fromSequence: middle?.sequence ?? 0 })).toBe(
    all.length - 100,
  );
  expect(await count({ untilMs: all[0]?.timeMs ?? 0 })).toBe(0);
  const { records, nextSequence } = await admin.audit.list({ limit: 7 });
  expect([records.length, nextSequence]).toEqual([7, 8]);
  await expect(admin.audit.head({ sequence: all.length + 1000 })).rejects.toMatchObject({
    code: 'NOT_FOUND',
  });
  await expect(admin.audit.list({ resource: 'a**' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

it(
  'what a node denies by itself is recorded too, soon, with a count',
  async () => {
    await admin.access.putPolicy({ role: 'nothing', rules: [], admin: [] });
    const { token, id } = await admin.access.createToken({ roles: ['nothing'] });
    before = (await admin.audit.head()).sequence;
    for (const node of nodes) {
      const stranger = callsOf(node, token);
      for (let i = 0; i < 5; i += 1) await expect(stranger.get('open')).rejects.toThrow('PERMISSION_DENIED');
      stranger.close();
    }
    const denials = async () =>
      (await recordsSince()).filter(({ principal, action }) => principal === id && action === 'kv.read');
    const total = async () => (await denials()).reduce((sum, { count }) => sum + count, 0);
    await until(async () => (await total()) >= 15, 'all denials are recorded');
    expect(await total()).toBe(15);
    expect(new Set((await denials()).map(({ node }) => node))).toEqual(new Set(nodeIds));
  },
  LIMIT_MS,
);

it(
  'what the rules find is an alert once, though others lead meanwhile; a token tells when and from where it was used',
  async () => {
    const webhook = null;
    const none = { resource: '', fromMinute: 0, toMinute: 0, days: 0, timeZone: '' };
    const guessing = {
      ...none,
      name: 'guessing',
      kind: 'denials',
      by: 'principal',
      count: 4,
      withinMs: 60_000,
    };
    await admin.audit.setAlerts({ rules: [guessing], webhook });
    const alerts = async () => (await recordsSince()).filter(({ action }) => action === 'alert.raised');
    const raised: string[] = [];
    const transfers: string[] = [];
    for (const nodeId of nodeIds) {
      const { leader } = await admin.cluster.status();
      if (leader !== nodeId) {
        await admin.cluster.transferLeadership({ member: nodeId });
        transfers.push(`client admin leadership.transfer ${nodeId}`);
      }
      const { token, id } = await admin.access.createToken({ roles: ['viewer'] });
      for (const node of nodes) {
        const stranger = callsOf(node, token);
        for (let i = 0; i < 2; i += 1)
          await expect(stranger.get('secrets/a')).rejects.toThrow('PERMISSION_DENIED');
        stranger.close();
      }
      raised.push(id);
      await until(async () => (await alerts()).length >= raised.length, `an alert about ${id}`);
    }
    expect((await alerts()).map(({ principal }) => principal)).toEqual(raised);
    const asked = (await recordsSince()).filter(({ action }) => action === 'leadership.transfer');
    expect(
      asked.map(({ principalKind, principal, action, resource }) =>
        [principalKind, principal, action, asBuffer(resource).toString()].join(' '),
      ),
    ).toEqual(transfers);
    const { evaluated, head } = await admin.audit.alerts();
    expect(evaluated).toBeLessThanOrEqual(head);
    const { tokens } = await admin.access.tokens();
    const used = tokens.filter(({ id }) => raised.includes(id));
    expect(used.map(({ lastUsedMs, addresses }) => [lastUsedMs > 0, addresses])).toEqual(
      raised.map(() => [true, ['127.0.0.1']]),
    );
    await admin.audit.setAlerts({ rules: [], webhook });
  },
  LIMIT_MS,
);

it(
  'what is older than it is to be kept goes, and the rest still follows the checkpoint, which the CA has signed',
  async () => {
    const keptBefore = await recordsSince(0);
    await admin.audit.setSettings({ reads: [], retentionMs: LIMITS.auditRetentionMsMin });
    expect((await admin.audit.settings()).former?.retentionMs).toBe(0);
    const now = Date.now.bind(Date);
    const laterMs = LIMITS.auditRetentionMsMin + LIMITS.auditShorteningDelayMs;
    vi.spyOn(Date, 'now').mockImplementation(() => now() + laterMs);
    await until(async () => {
      await admin.put('open', 'x');
      return Boolean((await admin.audit.head()).checkpoint);
    }, 'the oldest records are gone');
    await admin.audit.setSettings({ reads: [], retentionMs: 0 });
    const { checkpoint } = await admin.audit.head();
    const [first] = await recordsSince(0);
    expect(first?.sequence).toBe((checkpoint?.sequence ?? 0) + 1);
    expect(first?.previousHash).toEqual(checkpoint?.hash);
    expect(first?.sequence).toBeGreaterThan(keptBefore.length);
    const pem = new X509Certificate(context.ca);
    expect(isSignedBy(checkpoint as AuditCheckpoint, pem.raw)).toBe(true);
    expect(checkpoint?.certificate).toEqual(pem.raw);
  },
  LIMIT_MS,
);
