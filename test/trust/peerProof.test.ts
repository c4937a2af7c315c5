import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { NodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { PeerTerms } from '../../src/trust/peerTerms.ts';
import { NO_METHODS } from '../replication/transport/testPeers.ts';
import { waitFor } from '../replication/transport/waitFor.ts';
import { controlKeyOf, JWT_SECRET_FINGERPRINT } from './fakeJoinPort.ts';
import { connected, type Holds, type Member, ProvingMembers } from './provingMembers.ts';

let members: ProvingMembers;

beforeAll(async () => {
  members = await ProvingMembers.create();
});
afterEach(() => members.stopAll());

const member = (index: number, holds?: Holds): Promise<Member> => members.start(index, holds);
describe('two members that hold the same', () => {
  it('prove it to each other, and then speak', async () => {
    const [a, b] = [await member(0), await member(1)];
    a.transport.setPeers([b.node.nodeId]);
    await waitFor(() => connected(a));
    await waitFor(() => b.receiver.clocks.has(a.node.nodeId));
    expect([a.refused, b.refused]).toEqual([[], []]);
    expect(new Set(a.proved)).toEqual(new Set([b.node.nodeId]));
    expect(new Set(b.proved)).toEqual(new Set([a.node.nodeId]));
  });

  it.each<[string, Holds, Holds]>([
    ['lists it last', { keys: [1] }, { keys: [3, 2, 1], terms: inForce(1) }],
    [
      'is behind, and still wraps with the old one',
      { keys: [2, 1], replaced: [1], terms: newer(2) },
      { keys: [1, 2], terms: inForce(1) },
    ],
    [
      'is behind, and the other does not hold the old one any more',
      { keys: [2], terms: newer(2) },
      { keys: [1, 2], terms: inForce(1) },
    ],
    ['is behind in the toggle', { terms: newer(1) }, { terms: { encryption: 'off' } }],
  ])('are connected when one %s', async (_what, one, other) => {
    const [a, b] = [await member(0, one), await member(1, other)];
    a.transport.setPeers([b.node.nodeId]);
    b.transport.setPeers([a.node.nodeId]);
    await waitFor(() => connected(a) && connected(b));
  });

  it('are not connected when one is behind and holds only the old one, which the other still holds too', async () => {
    const [a, b] = [await member(0, { keys: [2, 1], terms: newer(2) }), await member(1, { keys: [1] })];
    b.transport.setPeers([a.node.nodeId]);
    await waitFor(() => a.refused.length > 0 && b.refused.length > 0);
    expect(b.refused[0]?.code).toBe('CONTROL_KEY_MISMATCH');
    expect(connected(b)).toBe(false);
  });

  it('prove it again at every reconnect', async () => {
    const [a, b] = [await member(0), await member(1)];
    a.transport.setPeers([b.node.nodeId]);
    await waitFor(() => connected(a));
    b.holds = { keys: [2] };
    a.transport.setPeers([]);
    a.transport.setPeers([b.node.nodeId]);
    await waitFor(() => a.refused.length > 0 && b.refused.length > 0);
    expect(connected(a)).toBe(false);
  });
});

function inForce(byte: number): Partial<PeerTerms> {
  return { controlKeyFingerprint: controlKeyOf(byte).fingerprint };
}

function newer(byte: number): Partial<PeerTerms> {
  return { keyringGeneration: 2, ...inForce(byte) };
}

it.each([
  ['ahead', 3],
  ['as far', 2],
  ['behind', 1],
])(
  'who holds only a control key that was replaced is not heard, though it claims to be %s',
  async (_what, keyringGeneration) => {
    for (const direction of ['calls', 'is called'] as const) {
      const good = await member(0, { keys: [2, 1], replaced: [1], terms: newer(2) });
      const bad = await member(1, { keys: [1], terms: { keyringGeneration, ...inForce(1) } });
      const [caller, called] = direction === 'calls' ? [bad, good] : [good, bad];
      caller.transport.setPeers([called.node.nodeId]);
      await waitFor(() => good.refused.length > 0);
      expect(good.refused[0]?.code).toBe('CONTROL_KEY_MISMATCH');
      expect([connected(caller), good.proved]).toEqual([false, []]);
      await members.stopAll();
    }
  },
);

describe('a member that holds something else', () => {
  const fingerprint = (byte: number): string => controlKeyOf(byte).fingerprint;

  it.each<[string, Holds, string, string]>([
    [
      'another control key',
      { keys: [2] },
      'CONTROL_KEY_MISMATCH',
      `the other node has control key ${fingerprint(2)}, this node ${fingerprint(1)}`,
    ],
    [
      'a control key that is not in force any more',
      { keys: [2], terms: { keyringGeneration: 0 } },
      'CONTROL_KEY_MISMATCH',
      `the other node has control key ${fingerprint(2)}, this node ${fingerprint(1)}`,
    ],
    [
      'another toggle at the same generation',
      { terms: { encryption: 'off' } },
      'ENCRYPTION_MISMATCH',
      'the other node has encryption off, this node on',
    ],
    [
      'another JWT secret',
      { terms: { jwtSecretFingerprint: fingerprint(4), jwtSecretFingerprints: [fingerprint(4)] } },
      'JWT_SECRET_MISMATCH',
      `the other node has JWT secret ${fingerprint(4)}, this node ${JWT_SECRET_FINGERPRINT}`,
    ],
    [
      'another cluster id',
      { terms: { clusterId: 'cccccccccccccccc' } },
      'CLUSTER_MISMATCH',
      'the other node has cluster id cccccccccccccccc, this node aaaaaaaaaaaaaaaa',
    ],
    [
      'another store id',
      { terms: { storeId: 'dddddddddddddddd' } },
      'CLUSTER_MISMATCH',
      'the other node has store id dddddddddddddddd, this node bbbbbbbbbbbbbbbb',
    ],
    [
      'another format',
      { terms: { format: 2 } },
      'VERSION_UNSUPPORTED',
      'the other node has peer format 2, this node 1',
    ],
  ])('is not heard, whoever calls: %s', async (_what, holds, code, message) => {
    for (const direction of ['calls', 'is called'] as const) {
      const good = await member(0);
      const bad = await member(1, holds);
      const [caller, called] = direction === 'calls' ? [bad, good] : [good, bad];
      caller.transport.setPeers([called.node.nodeId]);
      await waitFor(() => good.refused.length > 0 && bad.refused.length > 0);
      const said = direction === 'calls' ? good.refused[0] : bad.refused[0];
      expect(said?.code).toBe(code);
      if (direction === 'calls') expect(said?.message).toBe(message);
      expect(bad.refused[0]?.code).toBe(code);
      expect(connected(caller)).toBe(false);
      expect([good.receiver.clocks.size, bad.receiver.clocks.size]).toEqual([0, 0]);
      await members.stopAll();
    }
  });
});

describe('a second process of one node', () => {
  const run = (starts: number, byte: number): Holds => ({
    terms: { starts, process: Buffer.alloc(16, byte) },
  });

  const heartbeat = (from: Member, to: Member) =>
    ({
      from: from.node.nodeId,
      to: to.node.nodeId,
      term: 1,
      type: 'heartbeat',
      commit: 0,
      round: 1,
    }) as const;

  it('of an earlier start is not heard, and the first goes on', async () => {
    const a = await member(0);
    const b = await member(1, run(4, 1));
    b.transport.setPeers([a.node.nodeId]);
    await waitFor(() => connected(b));
    const copy = await member(1, run(3, 2));
    copy.transport.setPeers([a.node.nodeId]);
    await waitFor(() => copy.refused.length > 0);
    expect(copy.refused[0]?.code).toBe('NODE_ID_REUSED');
    expect(a.refused[0]).toMatchObject({ code: 'NODE_ID_REUSED', field: 'node_id' });
    b.transport.send([heartbeat(b, a)]);
    await waitFor(() => a.receiver.received.length > 0);
    expect([connected(b), connected(copy)]).toEqual([true, false]);
  });

  it('of the same start ends in neither being heard', async () => {
    const a = await member(0);
    const b = await member(1, run(4, 1));
    b.transport.setPeers([a.node.nodeId]);
    await waitFor(() => connected(b));
    const copy = await member(1, run(4, 2));
    copy.transport.setPeers([a.node.nodeId]);
    await waitFor(() => copy.refused.length > 0);
    b.transport.send([heartbeat(b, a)]);
    await waitFor(() => b.refused.length > 0);
    for (const one of [a, b, copy]) expect(one.refused[0]?.code).toBe('NODE_ID_REUSED');
    expect(a.receiver.received).toEqual([]);
    expect([connected(b), connected(copy)]).toEqual([false, false]);
  });

  it('of the same start ends in neither being spoken to', async () => {
    const a = await member(0);
    let hasAsked = false;
    const renew = (): Promise<object> => {
      hasAsked = true;
      return new Promise(() => undefined);
    };
    const b = await members.start(1, run(4, 1), { ...NO_METHODS, renew });
    a.transport.setPeers([b.node.nodeId]);
    await waitFor(() => connected(a));
    const isBulkOpen = (): boolean =>
      a.transport.forward(b.node.nodeId, { sequence: 1, envelope: Buffer.alloc(1) });
    const asked = a.transport.ask(b.node.nodeId, { method: 'renew', request: {} });
    const ended = expect(asked).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: `another process of node ${b.node.nodeId} is heard now, or none is`,
    });
    await waitFor(() => hasAsked && connected(a) && isBulkOpen());
    const copy = await member(1, run(4, 2));
    copy.transport.setPeers([a.node.nodeId]);
    await waitFor(() => copy.refused.length > 0);
    const before = a.refused.length;
    await waitFor(() => !connected(a) && !isBulkOpen());
    await ended;
    await waitFor(() => a.refused.length > before);
    expect([connected(a), isBulkOpen()]).toEqual([false, false]);
  });

  it('of a later start is not heard while the first is connected', async () => {
    const a = await member(0);
    const b = await member(1, run(4, 1));
    b.transport.setPeers([a.node.nodeId]);
    await waitFor(() => connected(b));
    const copy = await member(1, run(5, 2));
    copy.transport.setPeers([a.node.nodeId]);
    await waitFor(() => copy.refused.length > 0);
    expect(copy.refused[0]?.code).toBe('NODE_ID_REUSED');
    b.transport.send([heartbeat(b, a)]);
    await waitFor(() => a.receiver.received.length > 0);
    expect([connected(b), connected(copy)]).toEqual([true, false]);
  });

  it('of a later start is heard when the first has said nothing for so long that it must be gone', async () => {
    const a = await member(0);
    const b = await member(1, run(4, 1));
    b.transport.setPeers([a.node.nodeId]);
    await waitFor(() => connected(b));
    members.clock.advance(LIMITS.processSilentMs - 1);
    b.transport.send([heartbeat(b, a)]);
    await waitFor(() => a.receiver.received.length > 0);
    members.clock.advance(LIMITS.processSilentMs - 1);
    const later = await member(1, run(5, 2));
    later.transport.setPeers([a.node.nodeId]);
    await waitFor(() => later.refused.length > 0);
    expect(connected(later)).toBe(false);
    members.clock.advance(1);
    await waitFor(() => connected(later));
  });

  it('of a later start is heard as soon as the first has ended', async () => {
    const a = await member(0);
    const b = await member(1, run(4, 1));
    b.transport.setPeers([a.node.nodeId]);
    await waitFor(() => connected(b));
    await b.transport.close();
    const later = await member(1, run(5, 2));
    later.transport.setPeers([a.node.nodeId]);
    await waitFor(() => connected(later));
    expect([a.refused, later.refused]).toEqual([[], []]);
  });

  it('of a later start does not get in where the first is muted for a while, and its connections are ended', async () => {
    const a = await member(0);
    const b = await member(1, run(4, 1));
    b.transport.setPeers([a.node.nodeId]);
    await waitFor(() => connected(b));
    const heardElsewhere = { nodeId: b.node.nodeId, starts: 5, process: Buffer.alloc(16, 2) };
    a.processes.told(members.nodes[2]?.nodeId as NodeId, { term: 1, processes: [heardElsewhere] });
    await waitFor(() => !connected(b) && b.refused.length > 0);
    expect(a.transport.refused.get('notProved')).toBeGreaterThan(0);
    const copy = await member(1, run(5, 2));
    copy.transport.setPeers([a.node.nodeId]);
    await waitFor(() => copy.refused.length > 0);
    expect([b.refused[0]?.code, copy.refused[0]?.code]).toEqual(['NODE_ID_REUSED', 'NODE_ID_REUSED']);
    expect([connected(b), connected(copy)]).toEqual([false, false]);
    members.clock.advance(LIMITS.processToldMs + 1);
    await waitFor(() => connected(b));
    expect(connected(copy)).toBe(false);
  });

  it('of a later start and an earlier term is not heard: its directory is older than what the node has said', async () => {
    const a = await member(0);
    const b = await member(1, { terms: { ...run(4, 1).terms, term: 9 } });
    b.transport.setPeers([a.node.nodeId]);
    await waitFor(() => connected(b));
    await b.transport.close();
    const later = await member(1, { terms: { ...run(5, 2).terms, term: 8 } });
    later.transport.setPeers([a.node.nodeId]);
    await waitFor(() => later.refused.length > 0);
    expect(a.refused[0]).toMatchObject({
      code: 'NODE_ID_REUSED',
      message: expect.stringContaining('at term 8, and that node was at 9') as string,
    });
  });

  it('of a later start: the connections of the first end, though it says nothing; if it is there, neither is heard', async () => {
    const a = await member(0);
    const b = await member(1, run(4, 1));
    b.transport.setPeers([a.node.nodeId]);
    await waitFor(() => connected(b));
    const later = await member(1, run(5, 2));
    later.transport.setPeers([a.node.nodeId]);
    await waitFor(() => later.refused.length > 0);
    members.clock.advance(LIMITS.processSilentMs);
    await waitFor(() => later.proved.length > 0);
    later.refused.splice(0);
    await waitFor(() => b.refused.length > 0 && later.refused.length > 0);
    expect([b.refused[0]?.code, later.refused[0]?.code]).toEqual(['NODE_ID_REUSED', 'NODE_ID_REUSED']);
    expect(a.transport.refused.get('notProved')).toBeGreaterThan(0);
    await waitFor(() => !connected(b) && !connected(later));
  });
});
