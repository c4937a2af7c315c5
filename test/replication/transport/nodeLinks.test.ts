import { X509Certificate } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { type NodeLink, NodeLinks } from '../../../src/replication/transport/nodeLinks.ts';
import { type PortRefusal, Refusals } from '../../../src/replication/transport/refusals.ts';
import { TestAuthority, testNodeId } from './certificates.ts';

const [A, B] = [testNodeId(1), testNodeId(2)];
const PER_NODE = LIMITS.peerConnectionsPerNodeMax;

let certificate: X509Certificate;
beforeAll(async () => {
  const authority = await TestAuthority.create();
  certificate = new X509Certificate((await authority.issueNode(A)).certificate);
});

let refusals: Refusals;
let links: NodeLinks;
let closed: string[];
let trusted: (peerId: NodeId) => boolean;
beforeEach(() => {
  refusals = new Refusals({ logger: silentLogger, clock: systemClock });
  closed = [];
  trusted = () => true;
  // Which of the nodes it names stands in its last bytes here.
  const identify = (shown: Buffer): NodeId | null => {
    const peerId = shown.subarray(-16).toString() as NodeId;
    return trusted(peerId) ? peerId : null;
  };
  links = new NodeLinks({ identify, refusals });
});

type Link = NodeLink & { reason: PortRefusal | null };

function link(peerId: NodeId, name: string): Link {
  const made: Link = {
    connection: {
      peerId,
      ownCertificate: Buffer.alloc(0),
      peerCertificate: Buffer.concat([certificate.raw, Buffer.from(peerId)]),
    },
    reason: null,
    refusal: () => made.reason,
    end: () => closed.push(`end ${name}`),
    cut: () => closed.push(`cut ${name}`),
  };
  return made;
}

/** `proved`: it is heard as soon as it is there. */
function open(peerId: NodeId, { name, proved = false }: { name: string; proved?: boolean }): Link {
  const made = link(peerId, name);
  links.add(made);
  if (proved) links.heard(made);
  return made;
}

describe('connections of nodes that have not proved themselves', () => {
  it('are so many for one node: then its oldest goes, and none that has', () => {
    for (let at = 0; at < PER_NODE; at += 1) open(A, { name: `proved ${at}`, proved: true });
    for (let at = 0; at < PER_NODE; at += 1) open(A, { name: `a${at}` });
    expect(closed).toEqual([]);
    open(A, { name: 'more' });
    expect(closed).toEqual(['cut a0']);
    open(A, { name: 'yet more' });
    expect(closed).toEqual(['cut a0', 'cut a1']);
    expect([...refusals.counts]).toEqual([['nodeFull', 2]]);
  });

  it('are so many for all: then one goes of the node that has the most', () => {
    for (let at = 0; at < PER_NODE; at += 1) open(A, { name: `a${at}` });
    const others = LIMITS.peerUnprovedConnectionsMax - PER_NODE;
    for (let at = 0; at < others; at += 1) open(testNodeId(100 + at), { name: `other ${at}` });
    expect(closed).toEqual([]);
    open(B, { name: 'b' });
    expect(closed).toEqual(['cut a0']);
    expect([...refusals.counts]).toEqual([['unprovedFull', 1]]);
  });

  it('go first where their node was removed, however few it has', () => {
    open(A, { name: 'unproved' }).reason = 'notProved';
    for (let at = 0; at < PER_NODE; at += 1) open(B, { name: `b${at}` });
    const removed = open(testNodeId(99), { name: 'removed' });
    removed.reason = 'notMember';
    const others = LIMITS.peerUnprovedConnectionsMax - PER_NODE - 2;
    for (let at = 0; at < others; at += 1) open(testNodeId(100 + at), { name: `other ${at}` });
    expect(closed).toEqual([]);
    open(A, { name: 'a' });
    expect(closed).toEqual(['cut removed']);
  });

  it('make room when they are closed, and when they are heard', () => {
    for (let at = 0; at < 3 * PER_NODE; at += 1) {
      const one = open(A, { name: `closed ${at}` });
      links.delete(one);
    }
    for (let at = 0; at < PER_NODE; at += 1) open(A, { name: `heard ${at}`, proved: true });
    for (let at = 0; at < PER_NODE; at += 1) open(A, { name: `a${at}` });
    expect(closed).toEqual([]);
  });

  it('are not asked for their gate, which is closed', () => {
    open(A, { name: 'a' }).reason = 'notProved';
    links.judge(systemClock.wallMs());
    expect(closed).toEqual([]);
  });
});

describe('connections of nodes that have proved themselves', () => {
  it('are so many for one node: then its oldest goes, however often it is heard', () => {
    for (let at = 0; at < PER_NODE; at += 1) links.heard(open(A, { name: `a${at}`, proved: true }));
    open(B, { name: 'b', proved: true });
    expect(closed).toEqual([]);
    open(A, { name: 'more', proved: true });
    expect(closed).toEqual(['cut a0']);
    expect([...refusals.counts]).toEqual([['nodeFull', 1]]);
  });

  it.each(['notMember', 'notProved'] as const)('end once they are heard no more: %s', (reason) => {
    const a = open(A, { name: 'a', proved: true });
    open(B, { name: 'b', proved: true });
    links.judge(systemClock.wallMs());
    expect(closed).toEqual([]);
    a.reason = reason;
    links.judge(systemClock.wallMs());
    links.judge(systemClock.wallMs());
    expect(closed).toEqual(['end a']);
    expect([...refusals.counts]).toEqual([[reason, 1]]);
  });

  it('end with the certificate that was shown', () => {
    open(A, { name: 'a', proved: true });
    const endMs = Date.parse(certificate.validTo);
    links.judge(endMs);
    expect(closed).toEqual([]);
    links.judge(endMs + 1);
    expect(closed).toEqual(['cut a']);
    expect([...refusals.counts]).toEqual([['expiredCertificate', 1]]);
  });
});

it('all end whose certificate names no node any more', () => {
  open(A, { name: 'a', proved: true });
  open(A, { name: 'a, unproved' });
  open(B, { name: 'b', proved: true });
  trusted = (peerId) => peerId !== A;
  links.identifyAnew();
  expect(closed.toSorted()).toEqual(['cut a', 'cut a, unproved']);
  expect([...refusals.counts]).toEqual([['foreignCertificate', 2]]);
});
