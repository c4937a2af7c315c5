import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { JoinRequest } from '../../src/proto/peer.ts';
import { callJoin } from '../../src/trust/joinCall.ts';
import { parseJoinToken } from '../../src/trust/joinToken.ts';
import { fromRefusalStatus, type RemoteRefusal } from '../../src/trust/refusalStatus.ts';
import { requireTls13 } from '../../src/trust/tls.ts';
import { newCluster, newNode, type TestCluster, type TestNode } from './cluster.ts';
import { controlKeyOf, FakeJoinPort } from './fakeJoinPort.ts';
import { JoinPeers, joinRequestOf } from './joinPeers.ts';

let cluster: TestCluster;
let node: TestNode;
let port: FakeJoinPort;
let peers: JoinPeers;
beforeAll(async () => {
  requireTls13();
  cluster = await newCluster();
  node = await newNode(cluster);
});
beforeEach(() => {
  port = new FakeJoinPort(cluster);
  peers = new JoinPeers();
});
afterEach(() => peers.close());

/** Asks one address once, as a new node with this token. Null: it was let in. */
async function ask(
  { address, text }: { address: string; text: string },
  change: Partial<JoinRequest> = {},
): Promise<RemoteRefusal | null> {
  const { request, csrKeyHash } = await joinRequestOf(parseJoinToken(text));
  const answer = await callJoin({
    address,
    authorityCertificate: cluster.authority.certificate,
    request: { ...request, ...change },
    csrKeyHash,
    controlKeys: [controlKeyOf(1), controlKeyOf(2)],
    deadlineMs: systemClock.monotonicMs() + 5_000,
    clock: systemClock,
  });
  return 'failure' in answer ? fromRefusalStatus(answer.failure, address) : null;
}

describe('a token is not used by a join that fails for a reason known before', () => {
  async function refused(change: Partial<JoinRequest>, expected: object) {
    const address = await peers.serve(port, node);
    const { text, token } = port.newToken([address]);
    const refusal = await ask({ address, text }, change);
    expect(refusal?.error).toMatchObject(expected);
    expect([port.calls, token.usedBy, port.learners]).toEqual([0, null, []]);
    return { address, text };
  }

  it('such as more names than a certificate carries, its own addresses among them', async () => {
    const names = (count: number) => Array.from({ length: count }, (_, number) => `h${number}`);
    const room = LIMITS.certificateNamesMax - 3 - 2;
    const tooMany = { hosts: names(room + 1) };
    const asked = await refused(tooMany, { code: 'INVALID_ARGUMENT', field: 'hosts' });
    expect(
      await ask(asked, { hosts: [...names(room), 'localhost', '127.0.0.1', '::1', 'a', 'b'] }),
    ).toBeNull();
  });

  it('such as a cluster that is full', async () => {
    port.isFull = true;
    const asked = await refused({}, { code: 'INVALID_ARGUMENT', field: 'members' });
    port.isFull = false;
    expect(await ask(asked)).toBeNull();
  });

  it('such as a certificate that cannot be signed, or would be for a host of another member', async () => {
    const honest = port.issue.bind(port);
    let advertised: readonly string[] = [];
    port.issue = (request) => {
      ({ advertised } = request);
      return Promise.reject(new HoldfastError('INVALID_ARGUMENT', 'another’s', { field: 'hosts' }));
    };
    const asked = await refused({}, { code: 'INVALID_ARGUMENT', field: 'hosts' });
    expect(advertised).toEqual(['a:1', 'b:2']);
    port.issue = honest;
    expect(await ask(asked)).toBeNull();
  });
});

describe('a token that is past its time, or another node’s', () => {
  it.each(['TOKEN_EXPIRED', 'TOKEN_USED'])('is told %s, and nothing of the cluster', async (code) => {
    const address = await peers.serve(port, node);
    const { text, token } = port.newToken([address]);
    token.expired = code === 'TOKEN_EXPIRED';
    token.usedBy = 'another';
    const controlKeyFingerprints = [controlKeyOf(2).fingerprint];
    const refusal = await ask({ address, text }, { controlKeyFingerprints });
    expect(refusal?.error.code).toBe(code);
    expect(`${refusal?.error.message}`).not.toContain(controlKeyOf(1).fingerprint);
    expect(port.calls).toBe(0);
  });
});

describe('where the leader is', () => {
  const LEADER = 'leader.example:7441';

  it('is told to one whose token this node knows', async () => {
    port.leader = LEADER;
    const address = await peers.serve(port, node);
    const refusal = await ask({ address, text: port.newToken([address]).text });
    expect(refusal).toMatchObject({ leader: LEADER, error: { code: 'NOT_LEADER' } });
  });

  it('is told to nobody without one, whatever he asks', async () => {
    port.leader = LEADER;
    const address = await peers.serve(port, node);
    const unknown = new FakeJoinPort(cluster).newToken([address]).text;
    const known = port.newToken([address]).text;
    const asked: [string, Partial<JoinRequest>, string][] = [
      [unknown, {}, 'NOT_LEADER'],
      [known, { tokenSecret: Buffer.alloc(32) }, 'NOT_LEADER'],
      [known, { tokenSecret: Buffer.alloc(31) }, 'INVALID_ARGUMENT'],
      [known, { nodeId: 'x' }, 'INVALID_ARGUMENT'],
      [known, { format: 1 }, 'VERSION_UNSUPPORTED'],
    ];
    for (const [text, change, code] of asked)
      expect(await ask({ address, text }, change)).toMatchObject({ leader: null, error: { code } });
  });

  it('comes with no other refusal than that this node does not lead', async () => {
    const address = await peers.serve(port, node);
    const { text } = port.newToken([address]);
    port.beforeUse = () => {
      port.leader = LEADER;
      return Promise.reject(new HoldfastError('NO_LEADER', 'none'));
    };
    expect(await ask({ address, text })).toMatchObject({ leader: null, error: { code: 'NO_LEADER' } });
  });
});
