import { beforeAll, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { createAuthority } from '../../src/trust/authority.ts';
import { readCertificate } from '../../src/trust/publicKey.ts';
import { certificateWarning, missingHosts, renewalAtMs, renewalDueMs } from '../../src/trust/renewalDue.ts';
import { DAY_MS, newCluster, newNode, random, type TestCluster } from './cluster.ts';

const HOSTS = ['127.0.0.1', '::1', 'localhost', 'node-1.example'];
const clock = new ManualClock();
let cluster: TestCluster;
let certificate: Buffer;
beforeAll(async () => {
  cluster = await newCluster(clock);
  ({ certificate } = await newNode(cluster, { clock, hosts: HOSTS, lifetimeMs: 30 * DAY_MS }));
});

const lifetimeMs = 30 * DAY_MS + LIMITS.certificateBackdateMs;
const beginsMs = clock.wallMs() - LIMITS.certificateBackdateMs;
const endsMs = beginsMs + lifetimeMs;
const first = '0000000000000000' as NodeId;
const last = 'ffffffffffffffff' as NodeId;

describe('a certificate is renewed', () => {
  it('two thirds into its lifetime at the latest, and by node up to a thirtieth of it before', () => {
    const latestMs = beginsMs + Math.floor((lifetimeMs * 2) / 3);
    expect(renewalDueMs(certificate)).toBe(latestMs);
    const at = (nodeId: NodeId) =>
      renewalAtMs({ certificate, nodeId, hosts: HOSTS, signer: cluster.authority.certificate });
    expect(at(first)).toBe(latestMs);
    expect(at('8000000000000000' as NodeId)).toBe(latestMs - Math.floor(lifetimeMs / 60));
    expect(at(last)).toBeLessThanOrEqual(latestMs - Math.floor(lifetimeMs / 30) + 1);
    expect(at(last)).toBeGreaterThanOrEqual(latestMs - Math.ceil(lifetimeMs / 30));
  });

  it('at once when it lacks a host, and not for the order or a part of what it has', () => {
    const at = (hosts: readonly string[]) =>
      renewalAtMs({ certificate, nodeId: first, hosts, signer: cluster.authority.certificate });
    expect(at([...HOSTS, 'other.example'])).toBe(0);
    expect(at(['127.0.0.2'])).toBe(0);
    expect(at(HOSTS.toReversed())).toBe(renewalDueMs(certificate));
    expect(at(['localhost'])).toBe(renewalDueMs(certificate));
  });

  it('at once when another CA signs now, also one of the same name', async () => {
    const { certificate: signer } = await createAuthority({ clusterId: cluster.clusterId, clock, random });
    expect(renewalAtMs({ certificate, nodeId: first, hosts: HOSTS, signer })).toBe(0);
  });

  it('names what it lacks: no name stands for others, and an address is no name', () => {
    const missing = (hosts: readonly string[]) => missingHosts(readCertificate(certificate), hosts);
    expect(missing(HOSTS)).toEqual([]);
    expect(missing(['0:0:0:0:0:0:0:1', 'NODE-1.example'])).toEqual([]);
    expect(missing(['sub.node-1.example', '::2', 'holdfast node 1'])).toEqual([
      'sub.node-1.example',
      '::2',
      'holdfast node 1',
    ]);
  });

  it('is short without being due when it is made', async () => {
    const { certificate: short } = await newNode(cluster, { clock, hosts: HOSTS, lifetimeMs: 30_000 });
    const atMs = renewalAtMs({
      certificate: short,
      nodeId: last,
      hosts: HOSTS,
      signer: cluster.authority.certificate,
    });
    expect(atMs).toBeGreaterThan(clock.wallMs());
    expect(atMs).toBeLessThanOrEqual(clock.wallMs() + 10_000);
  });
});

describe('an operator hears of a certificate', () => {
  it('when less than a quarter of its lifetime is left, and when it is over, each time with the time', () => {
    const end = new Date(endsMs).toISOString();
    const quarterMs = endsMs - lifetimeMs / 4;
    expect(certificateWarning(certificate, renewalDueMs(certificate))).toBeNull();
    expect(certificateWarning(certificate, quarterMs - 1)).toBeNull();
    expect(certificateWarning(certificate, quarterMs)).toBe(
      `the certificate of this node ends at ${end} and could not be renewed until now: see the log of this node`,
    );
    expect(certificateWarning(certificate, endsMs)).toMatch(/ends at/);
    expect(certificateWarning(certificate, endsMs + 1)).toBe(
      `the certificate of this node expired at ${end}: other nodes and clients turn it away`,
    );
  });
});
