import tls from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ManualClock, systemClock } from '../../src/base/clock.ts';
import { spkiHash } from '../../src/trust/authority.ts';
import { fetchPinnedAuthority } from '../../src/trust/pinnedAuthority.ts';
import { requireTls13 } from '../../src/trust/tls.ts';
import { DAY_MS, newCluster, newNode, type TestCluster, type TestNode } from './cluster.ts';
import { deadAddress, silentTcpServer, silentTlsServer, type TestServer } from './tlsServer.ts';

let cluster: TestCluster;
let node: TestNode;
let pin: Buffer;
const servers: TestServer[] = [];

beforeAll(async () => {
  requireTls13();
  cluster = await newCluster();
  node = await newNode(cluster);
  pin = spkiHash(cluster.authority.certificate);
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function serve(starting: Promise<TestServer>): Promise<string> {
  const server = await starting;
  servers.push(server);
  return server.address;
}

const fetch = (address: string, options: { spkiHash?: Buffer; timeoutMs?: number } = {}) =>
  fetchPinnedAuthority({
    address,
    spkiHash: options.spkiHash ?? pin,
    deadlineMs: systemClock.monotonicMs() + (options.timeoutMs ?? 5_000),
    clock: systemClock,
  });

describe('fetching a pinned CA', () => {
  it('gives the CA that the server presents with its leaf', async () => {
    const address = await serve(silentTlsServer(node.material));
    expect(await fetch(address)).toEqual(cluster.authority.certificate);
    expect(await fetch(address.replace('127.0.0.1', 'localhost'))).toEqual(cluster.authority.certificate);
  });

  it('refuses any other CA, and a pin that is of the leaf', async () => {
    const address = await serve(silentTlsServer(node.material));
    const foreign = await newCluster();
    for (const wrong of [
      spkiHash(foreign.authority.certificate),
      spkiHash(node.certificate),
      Buffer.alloc(32),
    ]) {
      await expect(fetch(address, { spkiHash: wrong })).rejects.toMatchObject({
        code: 'CERTIFICATE_INVALID',
        message: expect.stringContaining('not the pinned one'),
      });
    }
  });

  it('refuses a leaf that the pinned CA is only laid beside', async () => {
    const foreign = await newNode(await newCluster());
    const cert = Buffer.concat([foreign.material.cert, node.material.ca]);
    const address = await serve(silentTlsServer({ ...foreign.material, cert }));
    await expect(fetch(address)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' });
    // A CA of the same name, so that the two do look like a chain.
    const posing = {
      ...cluster,
      authority: { ...cluster.authority, privateKey: (await newCluster()).authority.privateKey },
    };
    const forged = await newNode(posing);
    const forgedAddress = await serve(silentTlsServer(forged.material));
    await expect(fetch(forgedAddress)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' });
  });

  it('refuses a server that does not present its CA', async () => {
    const leafOnly = node.material.cert.subarray(
      0,
      node.material.cert.indexOf('-----END CERTIFICATE-----') + 26,
    );
    const address = await serve(silentTlsServer({ ...node.material, cert: leafOnly }));
    await expect(fetch(address)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' });
  });

  it('refuses a certificate that is for another host, with the names that it has', async () => {
    const elsewhere = await newNode(cluster, { hosts: ['node-9.example.net'] });
    const address = await serve(silentTlsServer(elsewhere.material));
    await expect(fetch(address)).rejects.toMatchObject({
      code: 'CERTIFICATE_INVALID',
      hint: expect.stringContaining('node-9.example.net'),
    });
  });

  it('refuses an expired certificate, and says what time it is here', async () => {
    const past = new ManualClock(systemClock.wallMs() - 10 * DAY_MS);
    const expired = await newNode(cluster, { clock: past, lifetimeMs: DAY_MS });
    const address = await serve(silentTlsServer(expired.material));
    await expect(fetch(address)).rejects.toMatchObject({
      code: 'CERTIFICATE_INVALID',
      message: expect.stringMatching(/expired at .* clock says/),
    });
  });

  it('gives up at its deadline when the peer takes the connection and never speaks', async () => {
    const address = await serve(silentTcpServer());
    await expect(fetch(address, { timeoutMs: 150 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('did not answer within'),
    });
    await expect(fetch(address, { timeoutMs: 0 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('says so when nobody listens', async () => {
    await expect(fetch(await deadAddress())).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('does not speak TLS 1.2', async () => {
    const old = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
    const address = await serve(silentTlsServer(node.material, old));
    await expect(fetch(address)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('requireTls13', () => {
  it('lets servers made afterwards refuse a client that speaks TLS 1.2 only', async () => {
    const address = await serve(silentTlsServer(node.material));
    const port = Number(address.split(':')[1]);
    const connect = (maxVersion: tls.SecureVersion) =>
      new Promise<string | null>((resolve, reject) => {
        const ca = node.material.ca;
        const socket = tls.connect({ port, host: '127.0.0.1', ca, minVersion: 'TLSv1.2', maxVersion });
        socket.once('secureConnect', () => {
          resolve(socket.getProtocol());
          socket.destroy();
        });
        socket.once('error', reject);
      });
    await expect(connect('TLSv1.2')).rejects.toThrow(/protocol version/);
    expect(await connect('TLSv1.3')).toBe('TLSv1.3');
  });
});
