import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { type NodeId, newNodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { RenewRequest, RenewResponse } from '../../src/proto/peer.ts';
import { createCsr } from '../../src/trust/certificateRequest.ts';
import { issueNodeCertificate } from '../../src/trust/certificates.ts';
import { readCertificate } from '../../src/trust/publicKey.ts';
import { fromRefusalStatus } from '../../src/trust/refusalStatus.ts';
import { checkRenewalAnswer } from '../../src/trust/renewalAnswer.ts';
import { RenewalService } from '../../src/trust/renewalService.ts';
import type { TrustEvent } from '../../src/trust/trustEvent.ts';
import { DAY_MS, newCluster, newNode, random, type TestCluster, type TestNode } from './cluster.ts';

const HOSTS = ['127.0.0.1', 'node.example'];

let cluster: TestCluster;
let node: TestNode;
let other: TestNode;
beforeAll(async () => {
  cluster = await newCluster();
  node = await newNode(cluster);
  other = await newNode(cluster);
});

let leads: boolean;
let members: Set<NodeId>;
let events: TrustEvent[];
let issuing:
  | ((request: { csr: Uint8Array; nodeId: NodeId; hosts: readonly string[] }) => Promise<void>)
  | null;
let service: RenewalService;
beforeEach(() => {
  leads = true;
  members = new Set([node.nodeId, other.nodeId]);
  events = [];
  issuing = null;
  service = new RenewalService({
    port: {
      isLeader: () => leads,
      leaderPeerAddress: () => '10.0.0.9:7441',
      isMember: (nodeId) => members.has(nodeId),
      issue: async (request) => {
        await issuing?.(request);
        return await issued(request);
      },
    },
    record: (event) => events.push(event),
  });
});

async function issued(request: {
  csr: Uint8Array;
  nodeId: NodeId;
  hosts: readonly string[];
}): Promise<RenewResponse> {
  const { authority, clusterId } = cluster;
  const { csr, nodeId, hosts } = request;
  const certificate = await issueNodeCertificate({
    authority,
    clusterId,
    csr,
    nodeId,
    names: { hosts },
    lifetimeMs: DAY_MS,
    clock: systemClock,
    random,
  });
  return { certificate, authorityCertificate: authority.certificate };
}

async function requestOf({ nodeId, privateKey }: TestNode): Promise<RenewRequest> {
  return { nodeId, csr: await createCsr({ nodeId, privateKey }), hosts: HOSTS };
}

const peer = ({ nodeId, certificate }: TestNode) => ({ peerId: nodeId, peerCertificate: certificate });

/** What the caller makes of the refusal. */
async function refusal(request: RenewRequest, by = node) {
  const status = await service.answer(peer(by), request).then(
    () => expect.fail('it was answered'),
    (thrown: object) => thrown,
  );
  return fromRefusalStatus(Object.assign(new Error('refused'), status) as never, 'n1');
}

describe('a renewal', () => {
  it('gives the same node a new certificate for the same key, and is recorded', async () => {
    const response = await service.answer(peer(node), await requestOf(node));
    const expected = { ...cluster.context, ...node, hosts: HOSTS };
    const certificate = checkRenewalAnswer(response, expected);
    const before = readCertificate(node.certificate);
    const after = readCertificate(certificate);
    expect(after.serialNumber).not.toBe(before.serialNumber);
    expect(after.publicKey.equals(before.publicKey)).toBe(true);
    expect(events).toMatchObject([{ kind: 'renewed', nodeId: node.nodeId }]);
  });

  it('of somebody else, or for another key than the one shown, is refused', async () => {
    const theirs = await requestOf(other);
    expect((await refusal(theirs)).error).toMatchObject({ code: 'PERMISSION_DENIED', field: 'node_id' });
    const stolen = { ...theirs, nodeId: node.nodeId };
    expect((await refusal(stolen)).error).toMatchObject({ code: 'PERMISSION_DENIED', field: 'csr' });
    expect(events).toEqual([]);
  });

  it('of a node that is no member is refused', async () => {
    members.delete(node.nodeId);
    expect((await refusal(await requestOf(node))).error).toMatchObject({ code: 'MEMBER_UNKNOWN' });
  });

  it('at a node that does not lead is refused with where the leader is', async () => {
    leads = false;
    const { error, leader, passing } = await refusal(await requestOf(node));
    expect([error.code, leader, passing]).toEqual(['NOT_LEADER', '10.0.0.9:7441', true]);
  });

  it('with too large or no request, or hosts that are none or too many, is refused', async () => {
    const request = await requestOf(node);
    const changed: [Partial<RenewRequest>, object][] = [
      [{ csr: Buffer.alloc(LIMITS.csrBytesMax + 1) }, { code: 'TOO_LARGE', field: 'csr' }],
      [{ csr: Buffer.alloc(LIMITS.csrBytesMax) }, { code: 'INVALID_ARGUMENT', field: 'csr' }],
      [{ hosts: ['a b'] }, { code: 'INVALID_ARGUMENT', field: 'hosts' }],
      [{ hosts: Array<string>(LIMITS.certificateNamesMax + 1).fill('a') }, { field: 'hosts' }],
    ];
    for (const [change, expected] of changed)
      expect((await refusal({ ...request, ...change })).error).toMatchObject(expected);
  });

  it('beside too many others is refused for now, and goes again once one of them is over', async () => {
    const waiting: (() => void)[] = [];
    issuing = () => new Promise((resolve) => waiting.push(resolve));
    const request = await requestOf(node);
    const running = Array.from({ length: LIMITS.renewalsInFlightMax }, () =>
      service.answer(peer(node), request),
    );
    const { error, passing } = await refusal(request);
    expect([error.code, passing]).toEqual(['OVERLOADED', true]);
    await expect.poll(() => waiting.length).toBe(LIMITS.renewalsInFlightMax);
    for (const go of waiting) go();
    await Promise.all(running);
    issuing = null;
    await service.answer(peer(node), request);
  });
});

describe('the answer to a renewal', () => {
  it('is taken only for this node, key, CA and all its hosts', async () => {
    const response = await service.answer(peer(node), await requestOf(node));
    const expected = { ...cluster.context, ...node, hosts: HOSTS };
    const foreign = (await newCluster()).authority.certificate;
    for (const [answer, wanted, message] of [
      [{ ...response, certificate: other.certificate }, expected, /is for node/],
      [response, { ...expected, nodeId: newNodeId(random) }, /is for node/],
      [response, { ...expected, privateKey: other.privateKey }, /another key/],
      [{ ...response, authorityCertificate: foreign }, expected, /not one that this node trusts/],
      [response, { ...expected, hosts: [...HOSTS, 'more.example'] }, /lacks more\.example/],
      [{ ...response, certificate: Buffer.from('no') }, expected, /no X\.509/],
    ] as const) {
      expect(() => checkRenewalAnswer(answer, wanted)).toThrow(
        expect.objectContaining({
          code: 'CERTIFICATE_INVALID',
          message: expect.stringMatching(message) as string,
        }),
      );
    }
  });
});
