import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { compare, connect, del, get, type HoldfastClient, put } from '../../src/client/index.ts';
import { FakeNode } from '../api/fakeNode.ts';
import { Rig, type RunningNode } from '../api/rig.ts';
import { until } from '../api/until.ts';

let rig: Rig;
let running: RunningNode;
let store: HoldfastClient;

beforeEach(async () => {
  rig = await Rig.create();
  running = await rig.start();
  store = rig.client([running.endpoint]);
});
afterEach(() => rig.close());

const failing = (code: 'OVERLOADED' | 'OUTCOME_UNKNOWN' | 'PERMISSION_DENIED' | 'NO_LEADER') =>
  new HoldfastError(code, `fake ${code}`, { field: 'a field', hint: 'a hint' });

describe('keys and values', () => {
  it('puts, gets, deletes', async () => {
    expect(await store.put('a', 'one')).toEqual({ revision: 2, previous: null });
    const second = await store.put('a', 'two', { previous: true });
    expect(second.previous?.value.toString()).toBe('one');
    expect(await store.get('a')).toEqual({
      revision: 3,
      item: {
        key: Buffer.from('a'),
        value: Buffer.from('two'),
        createRevision: 2,
        modRevision: 3,
        version: 2,
      },
    });
    const removed = await store.delete({ prefix: 'a' }, { previous: true });
    expect(removed).toMatchObject({ revision: 4, deleted: 1 });
    expect(removed.previous[0]?.value.toString()).toBe('two');
    expect((await store.get('a')).item).toBeNull();
    const { versions } = await store.history('a');
    expect(versions.map((version) => version.deleted)).toEqual([true, false, false]);
    expect(await store.compact(3)).toEqual({ revision: 3 });
  });

  it('pages through a prefix, and knows where it ends', async () => {
    for (const key of ['p/1', 'p/2', 'p/3', 'p/\u{10ffff}', 'q']) await store.put(key, key);
    const page = await store.range({ prefix: 'p/', limit: 3 });
    expect(page.items).toHaveLength(3);
    expect(page.count).toBe(4);
    const keys: string[] = [];
    for await (const item of store.list({ prefix: 'p/', limit: 2 })) keys.push(item.key.toString());
    expect(keys).toEqual(['p/1', 'p/2', 'p/3', 'p/\u{10ffff}']);
    expect((await store.range({ prefix: '' })).count).toBe(5);
    expect((await store.range({ start: 'p/2', end: 'q', keysOnly: true })).count).toBe(3);
    expect((await store.range({ prefix: Buffer.from([0xff, 0xff]) })).count).toBe(0);
  });

  it('runs one branch of a transaction', async () => {
    const create = () =>
      store.transaction({
        compares: [compare.missing('t')],
        success: [put('t', 'made')],
        failure: [get('t'), del('t')],
      });
    const made = await create();
    expect(made.succeeded).toBe(true);
    expect(made.operations).toEqual([{ kind: 'put', previous: null }]);
    const removed = await create();
    expect(removed.succeeded).toBe(false);
    expect(removed.operations[0]).toMatchObject({ kind: 'range', count: 1 });
    expect(removed.operations[1]).toEqual({ kind: 'delete', deleted: 1, previous: [] });
    const value = await store.transaction({ compares: [compare.value('t').equals('made')] });
    expect(value.succeeded).toBe(false);
  });
});

describe('a session', () => {
  it('carries all calls of one turn in one frame, numbered without a gap', async () => {
    await store.put('first', '');
    running.node.requests.length = 0;
    const results = await Promise.all(Array.from({ length: 200 }, (_, i) => store.put(`k${i}`, `${i}`)));
    expect(new Set(results.map((result) => result.revision)).size).toBe(200);
    expect(running.node.requests.map((request) => request.number)).toEqual(
      Array.from({ length: 200 }, (_, i) => i + 2),
    );
    expect(new Set(running.node.requests.map((request) => request.floor))).toEqual(new Set([2]));
    expect(rig.state.clients).toBe(1);
  });

  it('keeps at most 1,024 numbers open, and the others waiting', async () => {
    await store.put('first', '');
    running.node.requests.length = 0;
    const all = Array.from({ length: 3_000 }, (_, i) => store.put(`k${i % 7}`, ''));
    await Promise.all(all);
    const open = running.node.requests.map((request) => request.number - request.floor);
    expect(Math.max(...open)).toBeLessThan(1_024);
    expect(rig.state.applied).toBe(3_001);
  });

  it('lets a large call go as a unary call of its own, with the same result', async () => {
    const large = Buffer.alloc(1_500_000, 7);
    await store.put('large', large);
    expect((await store.get('large')).item?.value.equals(large)).toBe(true);
    expect(rig.state.answers.get(1)?.size).toBe(1);
  });

  it('refuses what is over the limit before it leaves, and passes on what the node refuses', async () => {
    await expect(store.put('k', Buffer.alloc(5_000_000))).rejects.toMatchObject({ code: 'TOO_LARGE' });
    await expect(store.put('k', Buffer.alloc(2_500_000))).rejects.toMatchObject({
      code: 'TOO_LARGE',
      field: 'success[0].put.value',
    });
    await expect(store.put('', 'v')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(rig.state.applied).toBe(0);
  });
});

describe('retries', () => {
  it('sends a write again under the same number, and it is applied once', async () => {
    running.node.fail('transact', { when: 'after', error: failing('OUTCOME_UNKNOWN'), count: 2 });
    expect(await store.put('k', 'v')).toMatchObject({ revision: 2 });
    expect(rig.state.applied).toBe(1);
    expect(running.node.requests.map((request) => request.number)).toEqual([1, 1, 1]);
  });

  it('says OUTCOME_UNKNOWN when the deadline passes after an attempt', async () => {
    running.node.fail('transact', { when: 'after', error: 'never answers', count: 100 });
    await expect(store.put('k', 'v', { timeoutMs: 150 })).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    running.node.faults.clear();
    await store.put('k', 'w');
    // The number that was given up is below the floor: it can never be applied later.
    expect(running.node.requests.at(-1)).toMatchObject({ number: 2, floor: 2 });
  });

  it('says what the last failure was when nothing can have been applied', async () => {
    running.node.fail('transact', { when: 'before', error: failing('OVERLOADED'), count: 1_000 });
    const attempt = store.put('k', 'v', { timeoutMs: 150 });
    await expect(attempt).rejects.toMatchObject({ code: 'OVERLOADED', field: 'a field', hint: 'a hint' });
  });

  it('gives up a read at its deadline', async () => {
    running.node.fail('get', { when: 'before', error: 'never answers', count: 100 });
    await expect(store.get('k', { timeoutMs: 100 })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  it('does not repeat a refusal', async () => {
    running.node.fail('transact', { when: 'before', error: failing('PERMISSION_DENIED'), count: 100 });
    await expect(store.put('k', 'v')).rejects.toMatchObject({ code: 'PERMISSION_DENIED', hint: 'a hint' });
    expect(running.node.requests).toHaveLength(1);
  });

  it('does not take a refusal for the outcome of an earlier attempt', async () => {
    running.node.fail('transact', { when: 'after', error: failing('OUTCOME_UNKNOWN') });
    const writing = store.put('k', 'v');
    await until(() => running.node.faults.get('transact')?.count === 0, 'the first attempt');
    running.node.fail('transact', { when: 'before', error: failing('PERMISSION_DENIED') });
    await expect(writing).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  });

  it('registers again when its client id has expired, for writes that were never applied', async () => {
    await store.put('k', '1');
    rig.state.answers.clear();
    expect(await store.put('k', '2')).toMatchObject({ revision: 3 });
    expect(rig.state.clients).toBe(2);
  });

  it('says OUTCOME_UNKNOWN when its client id expired after an attempt that may have been applied', async () => {
    await store.put('k', '1');
    running.node.fail('transact', { when: 'after', error: failing('OUTCOME_UNKNOWN') });
    const writing = store.put('k', '2');
    await until(() => rig.state.applied === 2, 'the first attempt');
    rig.state.answers.clear();
    await expect(writing).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(rig.state.applied).toBe(2);
  });

  it('does not repeat a change of the membership whose outcome is not known', async () => {
    running.node.fail('addToken', { when: 'after', error: failing('OUTCOME_UNKNOWN'), count: 2 });
    await expect(store.cluster.addToken()).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    expect(running.node.faults.get('addToken')?.count).toBe(1);
    running.node.fail('addToken', { when: 'before', error: failing('NO_LEADER') });
    expect(await store.cluster.addToken({ role: 'learner' })).toMatchObject({ token: 'hf1.token' });
  });
});

describe('nodes that come and go', () => {
  it('goes on after a restart of the only node, each write once', async () => {
    await store.put('k', '1');
    await rig.stop(running.server);
    const writing = store.put('k', '2', { timeoutMs: 20_000 });
    running = await rig.start({ port: running.port, node: running.node });
    expect(await writing).toMatchObject({ revision: 3 });
    expect(rig.state.applied).toBe(2);
  });

  it('follows the leader to an address that it was never given', async () => {
    const leader = await rig.start({ node: new FakeNode(rig.state, '0000000000000002') });
    running.node.leader = leader.endpoint;
    const redirect = new HoldfastError('NOT_LEADER', 'fake follower');
    for (const method of ['transact', 'registerClient', 'get']) {
      running.node.fail(method, { when: 'before', error: redirect, count: 1_000 });
    }
    await store.put('k', 'v');
    expect(leader.node.requests).toHaveLength(1);
    expect((await store.get('k')).item?.value.toString()).toBe('v');
    // The node that is connected still answers what any node may.
    running.node.faults.clear();
    const { calls } = running.node;
    await store.get('k', { serializable: true });
    expect(running.node.calls).toBe(calls + 1);
  });

  it('finds the leader by asking for the status', async () => {
    const leader = await rig.start({ node: new FakeNode(rig.state, '0000000000000002') });
    running.node.members = [
      {
        nodeId: '0000000000000002',
        name: 'n2',
        peerAddress: '',
        apiAddress: leader.endpoint,
        role: 'voter',
        leader: true,
        matchIndex: 0,
        reachable: true,
      },
    ];
    leader.node.members = running.node.members;
    await store.cluster.status();
    await store.put('k', 'v');
    expect(leader.node.requests).toHaveLength(1);
    const reports = await store.cluster.statusOfAll();
    expect(reports.map((report) => report.endpoint)).toEqual([running.endpoint, leader.endpoint]);
    expect(await store.cluster.members()).toMatchObject({ members: [{ name: 'n2' }] });
  });

  it('asks another node when the one it asks is gone', async () => {
    const other = await rig.start();
    const both = rig.client([running.endpoint, other.endpoint]);
    await both.put('k', '1');
    await rig.stop(running.server);
    await both.put('k', '2');
    await rig.start({ port: running.port, node: running.node });
    await rig.stop(other.server);
    expect(await both.put('k', '3')).toMatchObject({ revision: 4 });
    expect(rig.state.applied).toBe(3);
  });

  it('says UNAVAILABLE when nothing answers, and names the address', async () => {
    await rig.stop(running.server);
    const lost = rig.client([running.endpoint], { requestTimeoutMs: 200 });
    const refused = { code: 'UNAVAILABLE', message: expect.stringContaining(running.endpoint) as unknown };
    await expect(lost.put('k', 'v')).rejects.toMatchObject(refused);
    await expect(lost.get('k')).rejects.toMatchObject(refused);
    await expect(lost.cluster.addToken()).rejects.toMatchObject(refused);
  });

  it('rejects what waits when it is closed', async () => {
    running.node.fail('get', { when: 'before', error: 'never answers', count: 100 });
    const reading = store.get('k');
    const over = expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
    await until(() => running.node.calls > 0, 'the read');
    await store.close();
    await over;
    await expect(store.put('k', 'v')).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

describe('connect', () => {
  const identity = () => ({ ca: rig.authority.pem, ...rig.clientPem });

  it('returns a client that works', async () => {
    const connected = await connect({ endpoints: [running.endpoint], ...identity() });
    expect(await connected.put('k', 'v')).toMatchObject({ revision: 2 });
    await connected.close();
    expect(rig.state.answers.size).toBe(0);
  });

  it('refuses endpoints that are none, and a key of another certificate', async () => {
    await expect(connect({ endpoints: ['nowhere'], ...identity() })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'endpoints',
    });
    const { privateKey } = await rig.authority.client('bob');
    await expect(connect({ endpoints: [running.endpoint], ...identity(), privateKey })).rejects.toMatchObject(
      {
        code: 'CERTIFICATE_INVALID',
      },
    );
  });
});
