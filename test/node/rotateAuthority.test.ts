import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { certificateRequest, connect, type HoldfastClient } from '../../src/client/index.ts';
import { Sealer } from '../../src/envelope/sealer.ts';
import type { AdminContext } from '../../src/node/initCluster.ts';
import { joinNode } from '../../src/node/joinNode.ts';
import { KeyringFile } from '../../src/node/keyringFile.ts';
import { loadKeys } from '../../src/node/keys.ts';
import { peerService } from '../../src/proto/peer.ts';
import { readIdentityFile } from '../../src/trust/identityFile.ts';
import { loadNodeCredentials } from '../../src/trust/nodeCredentials.ts';
import { pemOf, type TlsMaterial, tlsMaterial } from '../../src/trust/tls.ts';
import { copyKeys, type NodeFolder, NodeFolders } from './nodeFolder.ts';
import { threeNodes } from './threeNodes.ts';
import { until } from './until.ts';

let folders: NodeFolders;
beforeEach(() => {
  folders = new NodeFolders();
});
afterEach(async () => {
  await folders.close();
  expect(folders.fatal).toEqual([]);
});

/** The certificate and key that a node has on its disk. */
async function materialOf({ configuration }: NodeFolder): Promise<TlsMaterial> {
  const { dataDir } = configuration;
  const identity = await readIdentityFile(dataDir);
  if (identity === null) throw new Error('there is no node');
  const { storeId, clusterId, nodeId } = identity;
  const controlKeys = loadKeys(configuration).control.all;
  const { keyring } = new KeyringFile(join(dataDir, 'keyring'), { storeId, controlKeys: () => controlKeys });
  const sealer = new Sealer({ keyring, storeId, random: systemRandom });
  return tlsMaterial(
    await loadNodeCredentials({ dataDir, sealer }, { clusterId, nodeId, clock: systemClock }),
  );
}

/** Whether a peer port takes whoever has this certificate for a node: only nodes find the method Prove. */
async function isNodeAt(address: string, { cert, key }: TlsMaterial, ca: string): Promise<boolean> {
  const secured = credentials.createSsl(Buffer.from(ca), key, cert);
  const client = new Client(`dns:${address}`, secured, { 'grpc.use_local_subchannel_pool': 1 });
  const { path, requestSerialize, responseDeserialize } = peerService['prove'] as never as {
    path: string;
    requestSerialize: (step: object) => Buffer;
    responseDeserialize: (bytes: Buffer) => object;
  };
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  stream.on('error', () => undefined);
  stream.on('data', () => undefined);
  const ended = new Promise<{ code: number }>((resolve) => stream.on('status', resolve));
  stream.write({ statement: Buffer.alloc(0), proof: Buffer.alloc(0) });
  const { code } = await ended;
  client.close();
  const UNIMPLEMENTED = 12;
  return code !== UNIMPLEMENTED;
}

const phaseOf = async (client: HoldfastClient): Promise<string> => {
  const { phase, missing, readyToFinish } = await client.cluster.authorityStatus();
  return readyToFinish ? 'ready' : [phase, ...missing.map(({ name }) => name)].join(' ');
};

it('the CA of three nodes is changed while they run: through all phases, a restart, and new nodes, with writes going on', async () => {
  const { admin, client, nodes, thirdFolder, third } = await threeNodes(folders);
  let writer = client;
  let written = 0;
  const over = new AbortController();
  const writing = (async () => {
    for (; !over.signal.aborted; written += 1) await writer.put(`rotating/${written % 100}`, 'x');
  })();
  // Awaited at the end; until then a failure of the test itself must not hide behind this one.
  writing.catch(() => undefined);
  const goesOn = async (): Promise<void> => {
    const before = written;
    await until(() => written > before + 10, 'writes go on', 60_000);
  };
  const former = await materialOf(thirdFolder);
  const [first] = nodes;
  const peer = first?.peerAddress ?? '';

  // A member that is down holds it up, by name.
  await folders.stop(third);
  expect(await client.cluster.rotateAuthority()).toMatchObject({ phase: 'announced', readyToFinish: false });
  await until(async () => (await phaseOf(client)) === 'announced n3', 'it waits for n3 alone', 60_000);
  await expect(client.cluster.rotateAuthority()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await expect(client.cluster.finishAuthorityRotation()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await goesOn();
  const { warnings } = await client.cluster.status();
  const leaderWarnings = (await client.cluster.statusOfAll()).flatMap((node) =>
    'status' in node ? node.status.warnings : [],
  );
  expect([...warnings, ...leaderWarnings].join()).toMatch(/change of the CA waits .* by n3/);

  // It is the cluster's, not the leader's: the next one knows as much.
  await client.cluster.transferLeadership({ member: 'n2' });
  const leadsNow = async (): Promise<string> => {
    const { leader, members } = await client.cluster.status();
    return members.find(({ nodeId }) => nodeId === leader)?.name ?? '';
  };
  await until(async () => (await leadsNow()) === 'n2', 'n2 leads', 60_000);
  await until(async () => (await phaseOf(client)) === 'announced n3', 'n2 waits for n3 too', 60_000);

  const again = await folders.start(thirdFolder);
  await until(async () => (await phaseOf(client)) === 'ready', 'all members have renewed', 90_000);
  await goesOn();

  // During the overlap whoever knows only the former CA goes on, and so does a certificate of it.
  const old = await folders.client({ admin }, nodes);
  await old.put('overlap', 'by the former CA');
  expect(await isNodeAt(peer, former, await caOf(thirdFolder))).toBe(true);
  const fourth = await joined('n4', client);
  await folders.stop(again);
  const restarted = await folders.start(thirdFolder);
  await until(async () => (await phaseOf(client)) === 'ready', 'it is ready with four members', 60_000);

  const renewed = await renewedAdmin(client, admin);
  const both = await folders.client({ admin: renewed }, [...nodes.slice(0, 2), restarted, fourth]);
  await both.put('renewed', 'by the new CA');
  writer = both;
  await goesOn();

  expect(await both.cluster.finishAuthorityRotation()).toMatchObject({ phase: 'none', missing: [] });
  const trustedAlone = async (): Promise<boolean> =>
    (await caOf(thirdFolder)).match(/BEGIN CERTIFICATE/g)?.length === 1;
  await until(trustedAlone, 'n3 trusts the new CA alone', 60_000);
  await until(async () => !(await isNodeAt(peer, former, renewed.ca)), 'a former node is a stranger', 60_000);
  await goesOn();
  for (const refused of [admin, { ...admin, ca: renewed.ca }]) {
    await expect(writesAs(refused, restarted.apiAddress)).rejects.toMatchObject({
      code: expect.stringMatching(/UNAVAILABLE|DEADLINE_EXCEEDED|UNAUTHENTICATED/) as string,
    });
  }
  // Connections that stand are judged anew as well.
  await until(
    () =>
      old.put('overlap', 'x').then(
        () => false,
        ({ code }: { code?: string }) => code === 'UNAUTHENTICATED',
      ),
    'who is connected by a former certificate is nobody',
    60_000,
  );
  await joined('n5', both);
  await writesAs({ ...renewed, ca: await caOf(thirdFolder) }, restarted.apiAddress);
  await goesOn();
  over.abort();
  await writing;

  async function joined(name: string, by: HoldfastClient) {
    const folder = await folders.folder(name);
    copyKeys(thirdFolder, folder);
    const { token } = await by.cluster.addToken({ role: 'voter' });
    await joinNode(folder.configuration, token);
    const node = await folders.start(folder);
    await until(
      async () => {
        const { members } = await by.cluster.members();
        return members.some((member) => member.name === name && member.role === 'voter');
      },
      `${name} is a voter`,
      60_000,
    );
    return node;
  }
}, 300_000);

/** What `authority.pem` of a node says. */
function caOf({ configuration }: NodeFolder): Promise<string> {
  return Promise.resolve(readFileSync(join(configuration.dataDir, 'trust', 'authority.pem'), 'utf8'));
}

/** What `holdfast context renew` does. */
async function renewedAdmin(client: HoldfastClient, admin: AdminContext): Promise<AdminContext> {
  const csr = certificateRequest(admin.privateKey);
  const { certificate, authorities } = await client.cluster.renewClient({ csr });
  expect(authorities).toHaveLength(2);
  return { ...admin, certificate: pemOf(certificate), ca: authorities.map(pemOf).join('') };
}

async function writesAs({ ca, certificate, privateKey }: AdminContext, endpoint: string): Promise<void> {
  const client = await connect({
    endpoints: [endpoint],
    ca,
    certificate,
    privateKey,
    requestTimeoutMs: 5_000,
  });
  try {
    await client.put('as', 'somebody');
  } finally {
    await client.close();
  }
}

it('a client has its certificate renewed for its own key and for no other', async () => {
  const first = await folders.first('n1');
  const node = await folders.start(first);
  const client = await folders.client(first, [node]);
  await until(async () => (await client.cluster.status()).leader !== '', 'a leader');
  const other = await folders.first('other');
  const csr = certificateRequest(other.admin.privateKey);
  await expect(client.cluster.renewClient({ csr })).rejects.toMatchObject({
    code: 'PERMISSION_DENIED',
    field: 'csr',
  });
  await expect(client.cluster.renewClient({ csr: Buffer.alloc(20_000) })).rejects.toMatchObject({
    code: 'TOO_LARGE',
  });
  const own = certificateRequest(first.admin.privateKey);
  const { certificate, authorities } = await client.cluster.renewClient({ csr: own });
  expect(authorities.map(pemOf)).toEqual([first.admin.ca]);
  const renewed = { ...first.admin, certificate: pemOf(certificate) };
  await (await folders.client({ admin: renewed }, [node])).put('a', 'b');
  const { serialNumber } = new X509Certificate(certificate);
  const records = [];
  for await (const record of client.audit.records({ action: 'certificate.renew', result: 'OK' }))
    records.push(record);
  expect(records).toMatchObject([
    {
      principalKind: 'client',
      principal: 'admin',
      resource: Buffer.from('admin'),
      detail: expect.stringContaining(`serial ${serialNumber}, until 20`) as string,
    },
  ]);
});
