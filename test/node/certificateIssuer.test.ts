import { X509Certificate } from 'node:crypto';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { CertificateIssuer } from '../../src/node/certificateIssuer.ts';
import type { Member } from '../../src/proto/storage.ts';
import { DAY_MS, newCluster, newNode, random } from '../trust/cluster.ts';

const memberOf = (nodeId: string, host: string): Member => ({
  nodeId,
  name: host,
  peerAddress: `${host}:7441`,
  apiAddress: `api.${host}:7440`,
  wantedRole: 'voter',
});

async function rig() {
  const cluster = await newCluster();
  const [first, second] = [await newNode(cluster), await newNode(cluster)];
  const members = [memberOf(first.nodeId, 'first.example'), memberOf(second.nodeId, 'second.example')];
  const { authority, clusterId } = cluster;
  const parts = { clusterId, store: { authority, members }, lifetimeMs: DAY_MS, clock: systemClock, random };
  return { cluster, authority, first, second, issuer: new CertificateIssuer(parts) };
}

const REFUSED = { code: 'INVALID_ARGUMENT', field: 'hosts', hint: expect.any(String) as string };

it('a member has its own names certified, any free one, and none of another member', async () => {
  const { issuer, first } = await rig();
  const { certificate } = await issuer.issue({ ...first, hosts: ['first.example', 'free.example'] });
  expect(new X509Certificate(certificate).checkHost('free.example')).toBe('free.example');
  for (const host of ['second.example', 'api.second.example'])
    await expect(issuer.issue({ ...first, hosts: ['first.example', host] })).rejects.toMatchObject(REFUSED);
});

it('a node that joins has certified what it advertises, and no name of a member beside that', async () => {
  const { issuer, cluster } = await rig();
  const joiner = await newNode(cluster);
  const advertised = ['first.example:8441', 'third.example:8440'];
  const hosts = ['first.example', 'third.example'];
  await issuer.issue({ ...joiner, hosts, advertised });
  await expect(
    issuer.issue({ ...joiner, hosts: [...hosts, 'second.example'], advertised }),
  ).rejects.toMatchObject(REFUSED);
});

it('the key of the CA stays as it is: it is the memory of the store, and signs again', async () => {
  const { issuer, first, authority } = await rig();
  const before = Buffer.from(authority.privateKey);
  await issuer.issue({ ...first, hosts: [] });
  await issuer.issue({ ...first, hosts: [] });
  expect(authority.privateKey).toEqual(before);
});
