import { afterEach, beforeEach, expect, it } from 'vitest';
import { ManualClock, systemClock } from '../../../src/base/clock.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import { checkCertificates, lookAtCertificates } from '../../../src/node/doctor/cluster/certificates.ts';
import { clusterView } from '../../../src/node/doctor/cluster/view.ts';
import { pemOf } from '../../../src/trust/tls.ts';
import { DAY_MS, type NodeChoice, newCluster, newNode, type TestCluster } from '../../trust/cluster.ts';
import { deadAddress, silentTlsServer, type TestServer } from '../../trust/tlsServer.ts';

const NODE_ID = '00000000000000a1' as NodeId;
const servers: TestServer[] = [];
let cluster: TestCluster;
beforeEach(async () => {
  cluster = await newCluster(aged(400 * DAY_MS));
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

/** As it was so long ago; negative: as it will be. */
function aged(ms: number): ManualClock {
  return new ManualClock(systemClock.wallMs() - ms);
}

async function presenting(choice: NodeChoice, of: TestCluster = cluster): Promise<string> {
  const { material } = await newNode(of, { nodeId: NODE_ID, ...choice });
  const server = await silentTlsServer(material);
  servers.push(server);
  return server.address;
}

/** What is found at an address, that of member n2 unless it is only one of the context. */
async function found(address: string, { isMember = true, isAlone = false, role = 'voter' } = {}) {
  const member = {
    nodeId: NODE_ID,
    name: 'n2',
    peerAddress: '',
    apiAddress: address,
    role,
    leader: false,
    matchIndex: 0,
    reachable: true,
  };
  const other = { ...member, role: 'voter', nodeId: '00000000000000a2', name: 'n1', apiAddress: '' };
  const members = [...(isMember ? [member] : []), ...(isAlone ? [] : [other])];
  const view = { ...clusterView([]), members };
  const ca = pemOf(cluster.authority.certificate);
  const seen = await lookAtCertificates(view, { endpoints: [address], ca });
  expect(seen).toHaveLength(1);
  return checkCertificates(view, { seen, clock: systemClock });
}

const check = 'certificates';

it('is well for two thirds of its lifetime', async () => {
  const address = await presenting({ clock: aged(19 * DAY_MS), lifetimeMs: 30 * DAY_MS });
  expect(await found(address)).toMatchObject([{ check, severity: 'ok', mend: null }]);
  expect((await found(address, { isMember: false }))[0]?.message).toContain(
    `the certificate at ${address} is valid`,
  );
});

it('is warned of when less than a third is left', async () => {
  const address = await presenting({ clock: aged(21 * DAY_MS), lifetimeMs: 30 * DAY_MS });
  expect(await found(address)).toMatchObject([{ check, severity: 'warning', mend: 'holdfast server' }]);
});

it('is a failure once it has ended, whoever answers no more because of it', async () => {
  const address = await presenting({ clock: aged(31 * DAY_MS), lifetimeMs: 30 * DAY_MS });
  expect(await found(address)).toEqual([
    {
      check,
      severity: 'failure',
      message: 'the certificate of n2 has expired',
      mend: 'holdfast member remove n2',
    },
  ]);
});

it('is not renewed by a learner, though there is one voter only', async () => {
  const address = await presenting({ clock: aged(31 * DAY_MS), lifetimeMs: 30 * DAY_MS });
  expect(await found(address, { role: 'learner' })).toMatchObject([{ mend: 'holdfast member remove n2' }]);
});

it.each([true, false])(
  'a node that leads alone renews it once it runs, known as a member: %s',
  async (isMember) => {
    const address = await presenting({ clock: aged(31 * DAY_MS), lifetimeMs: 30 * DAY_MS });
    expect(await found(address, { isMember, isAlone: true })).toMatchObject([
      { severity: 'failure', mend: 'holdfast server' },
    ]);
  },
);

it('is a failure before it begins: a clock is wrong', async () => {
  const address = await presenting({ clock: aged(-DAY_MS) });
  expect(await found(address)).toMatchObject([
    {
      severity: 'failure',
      message: 'the certificate of n2 is not valid yet',
      mend: 'timedatectl set-ntp true',
    },
  ]);
});

it('is a failure when another cluster has signed it, or it is that of another node', async () => {
  const foreign = await presenting({}, await newCluster());
  const port = foreign.split(':')[1];
  expect(await found(foreign)).toMatchObject([{ severity: 'failure', mend: `ss -ltnp 'sport = :${port}'` }]);
  expect((await found(foreign))[0]?.message).toContain('the certificate of n2 is not of this cluster');
  const other = await presenting({ nodeId: '00000000000000a2' as NodeId });
  expect(await found(other)).toMatchObject([
    { severity: 'failure', message: `another node answers at ${other}, the address of n2` },
  ]);
});

it('is not judged where nobody listens', async () => {
  expect(await found(await deadAddress())).toEqual([]);
});
