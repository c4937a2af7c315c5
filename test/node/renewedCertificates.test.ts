import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseAddress } from '../../src/base/address.ts';
import type { HoldfastNode } from '../../src/node/holdfastNode.ts';
import { readCertificate } from '../../src/trust/publicKey.ts';
import { NodeFolders } from './nodeFolder.ts';
import { threeNodes } from './threeNodes.ts';
import { until } from './until.ts';

/** Due within some seconds of being made, and valid for long enough after that on a slow machine. */
const LIFETIME_MS = 30_000;

let folders: NodeFolders;
beforeEach(() => {
  folders = new NodeFolders({ certificateLifetimeMs: LIFETIME_MS });
});
afterEach(async () => {
  await folders.close();
  expect(folders.fatal).toEqual([]);
});

/** The serial number of what a port shows to whoever connects now, verified against the CA. */
function serialAt(address: string, ca: string): Promise<string> {
  const { host, port } = parseAddress(address, 'address');
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, ca, ALPNProtocols: ['h2'] });
    socket.once('secureConnect', () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

it('three nodes renew their certificates while they run: both ports show new ones, nothing is dropped, writes go on', async () => {
  const { admin, client, nodes } = await threeNodes(folders);
  const ports = nodes.flatMap(({ apiAddress, peerAddress }: HoldfastNode) => [apiAddress, peerAddress]);
  const serials = () => Promise.all(ports.map((address) => serialAt(address, admin.ca)));
  const before = await serials();
  const { term } = await client.cluster.status();
  const over = new AbortController();
  let written = 0;
  const writing = (async () => {
    for (; !over.signal.aborted; written += 1) await client.put(`renewing/${written % 100}`, 'x');
  })();
  await until(
    async () => (await serials()).every((serial, number) => serial !== before[number]),
    'new certificates on all ports',
    3 * LIFETIME_MS,
  );
  const during = written;
  await until(() => written > during + 50, 'writes go on');
  over.abort();
  await writing;
  const status = await client.cluster.status();
  expect([status.term, status.warnings]).toEqual([term, []]);
}, 120_000);

it('a name that was added to the settings is in the certificate soon after the restart, on disk too', async () => {
  const named = await folders.first('n1');
  const node = await folders.start(named);
  const onDisk = () => readCertificate(readFileSync(join(named.configuration.dataDir, 'trust', 'node.pem')));
  await folders.stop(node);
  expect(onDisk().checkHost('added.example')).toBeUndefined();
  const { configuration } = named;
  const changed = { ...named, configuration: { ...configuration, tlsSan: ['added.example'] } };
  const again = await folders.start(changed);
  await until(() => onDisk().checkHost('added.example') !== undefined, 'the name is in the certificate');
  const serial = onDisk().serialNumber;
  await until(async () => (await serialAt(again.peerAddress, named.admin.ca)) === serial, 'it is shown');
});

it('a node that was away past the end of its certificate starts, and renews it as soon as it leads alone', async () => {
  const short = new NodeFolders({ certificateLifetimeMs: 2_000 });
  try {
    const folder = await short.first('n1');
    const path = join(folder.configuration.dataDir, 'trust', 'node.pem');
    const expired = readCertificate(readFileSync(path));
    await until(() => Date.now() > Date.parse(expired.validTo) + 1, 'it is past its end');
    const lasting = { ...folder, certificateLifetimeMs: LIFETIME_MS };
    const node = await short.start(lasting);
    expect(folder.logger.warnings.join()).toMatch(/certificate of this node expired at/);
    await until(
      () => readCertificate(readFileSync(path)).serialNumber !== expired.serialNumber,
      'it is renewed',
    );
    const client = await short.client(folder, [node]);
    await client.put('after', 'the renewal');
    expect((await client.cluster.status()).warnings).toEqual([]);
  } finally {
    await short.close();
  }
});
