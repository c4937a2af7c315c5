import type { KeyObject } from 'node:crypto';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { type ClusterId, type NodeId, newClusterId, newNodeId } from '../../src/base/ids.ts';
import { systemRandom } from '../../src/base/random.ts';
import { type Authority, createAuthority } from '../../src/trust/authority.ts';
import { createNodeKeyAndCsr } from '../../src/trust/certificateRequest.ts';
import { issueClientCertificate, issueNodeCertificate } from '../../src/trust/certificates.ts';
import type { IdentityContext } from '../../src/trust/identity.ts';
import { pemOf, type TlsMaterial } from '../../src/trust/tls.ts';

export const random = systemRandom;
export const DAY_MS = 86_400_000;

export interface TestCluster {
  readonly clusterId: ClusterId;
  readonly authority: Authority;
  readonly context: IdentityContext;
}

export interface TestNode {
  readonly nodeId: NodeId;
  readonly certificate: Buffer;
  readonly privateKey: KeyObject;
  readonly csr: Buffer;
  readonly material: TlsMaterial;
}

export async function newCluster(clock: Clock = systemClock): Promise<TestCluster> {
  const clusterId = newClusterId(random);
  const authority = await createAuthority({ clusterId, clock, random });
  return { clusterId, authority, context: { clusterId, authorities: [authority.certificate], clock } };
}

export interface NodeChoice {
  readonly nodeId?: NodeId;
  readonly hosts?: readonly string[];
  readonly lifetimeMs?: number;
  readonly clock?: Clock;
}

export async function newNode(
  { authority, clusterId }: TestCluster,
  choice: NodeChoice = {},
): Promise<TestNode> {
  const nodeId = choice.nodeId ?? newNodeId(random);
  const { privateKey, csr } = await createNodeKeyAndCsr({ nodeId });
  const certificate = await issueNodeCertificate({
    authority,
    clusterId,
    csr,
    nodeId,
    names: { hosts: choice.hosts ?? ['127.0.0.1', 'localhost'] },
    lifetimeMs: choice.lifetimeMs ?? 30 * DAY_MS,
    clock: choice.clock ?? systemClock,
    random,
  });
  const ca = Buffer.from(pemOf(authority.certificate));
  const material = {
    ca,
    // As it is: the CA of some nodes here only looks as if it had signed them.
    cert: Buffer.from(pemOf(certificate) + ca.toString()),
    key: Buffer.from(privateKey.export({ format: 'pem', type: 'pkcs8' })),
  };
  return { nodeId, certificate, privateKey, csr, material };
}

export function newClient({ authority, clusterId }: TestCluster, name: string) {
  return issueClientCertificate({
    authority,
    clusterId,
    name,
    lifetimeMs: DAY_MS,
    clock: systemClock,
    random,
  });
}
