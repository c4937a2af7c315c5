import tls from 'node:tls';
import {
  Client,
  credentials,
  Metadata,
  Server,
  type ServerUnaryCall,
  type ServiceError,
} from '@grpc/grpc-js';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { clientIdentity, nodeIdentity } from '../../src/trust/identity.ts';
import {
  pemOf,
  requireTls13,
  serverCredentials,
  type TlsMaterial,
  TlsMaterialHolder,
} from '../../src/trust/tls.ts';
import { newClient, newCluster, newNode, type TestCluster, type TestNode } from './cluster.ts';

let cluster: TestCluster;
let node: TestNode;
let clientMaterial: TlsMaterial;
const closing: (() => void)[] = [];

beforeAll(async () => {
  requireTls13();
  cluster = await newCluster();
  node = await newNode(cluster);
  clientMaterial = await clientOf(cluster);
});
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function clientOf(of: TestCluster): Promise<TlsMaterial> {
  const { certificate, privateKey } = await newClient(of, 'admin');
  const key = `-----BEGIN PRIVATE KEY-----\n${privateKey.toString('base64')}\n-----END PRIVATE KEY-----\n`;
  const pem = Buffer.from(pemOf(certificate));
  return { ca: Buffer.from(pemOf(of.authority.certificate)), cert: pem, key: Buffer.from(key) };
}

const identify = { node: nodeIdentity, client: clientIdentity };
const bytes = (value: Buffer) => value;
const PATH = '/test.Who/Who';

/** A real gRPC server whose one method answers who the caller is by its certificate. */
async function serve(
  kind: 'node' | 'client',
  clientWithoutCertificate: 'accepted' | 'refused',
): Promise<number> {
  const server = new Server();
  closing.push(() => server.forceShutdown());
  const definition = {
    path: PATH,
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  } as const;
  server.addService(
    { who: definition },
    {
      who: (
        call: ServerUnaryCall<Buffer, Buffer>,
        callback: (error: object | null, answer?: Buffer) => void,
      ) => {
        const certificate = call.getAuthContext().sslPeerCertificate;
        try {
          if (certificate === undefined) throw new HoldfastError('UNAUTHENTICATED', 'no certificate');
          callback(null, Buffer.from(identify[kind](certificate, cluster.context)));
        } catch (thrown) {
          callback({ code: 16, details: (thrown as HoldfastError).message });
        }
      },
    },
  );
  const own = serverCredentials(new TlsMaterialHolder(node.material), { clientWithoutCertificate });
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', own, (error, port) => (error === null ? resolve(port) : reject(error)));
  });
}

function who(port: number, material: Partial<TlsMaterial>): Promise<string> {
  const creds = credentials.createSsl(node.material.ca, material.key ?? null, material.cert ?? null);
  const client = new Client(`dns:localhost:${port}`, creds, { 'grpc.use_local_subchannel_pool': 1 });
  closing.push(() => client.close());
  const deadline = { deadline: new Date(Date.now() + 5_000) };
  return new Promise((resolve, reject) => {
    const answered = (error: ServiceError | null, answer?: Buffer) =>
      error === null ? resolve(String(answer)) : reject(error);
    client.makeUnaryRequest(PATH, bytes, bytes, Buffer.alloc(1), new Metadata(), deadline, answered);
  });
}

describe('who a caller is over real gRPC', () => {
  it('is a node on the peer port and a client on the API port, and nobody the other way round', async () => {
    const peerPort = await serve('node', 'accepted');
    const apiPort = await serve('client', 'refused');
    expect(await who(peerPort, node.material)).toBe(node.nodeId);
    expect(await who(apiPort, clientMaterial)).toBe('admin');
    await expect(who(peerPort, clientMaterial)).rejects.toThrow(/only nodes/);
    await expect(who(apiPort, node.material)).rejects.toThrow(/only clients/);
  });

  it('is nobody without a certificate: let in where Join is, turned away elsewhere', async () => {
    await expect(who(await serve('node', 'accepted'), {})).rejects.toThrow(/no certificate/);
    await expect(who(await serve('client', 'refused'), {})).rejects.toMatchObject({ code: 14 });
  });

  it('is nobody with a certificate of another cluster, though it names a node of this one', async () => {
    const foreign = await newCluster();
    const posing = await newNode({ ...foreign, clusterId: cluster.clusterId }, { nodeId: node.nodeId });
    await expect(who(await serve('node', 'accepted'), posing.material)).rejects.toThrow(/no certificate/);
    await expect(who(await serve('node', 'refused'), posing.material)).rejects.toMatchObject({ code: 14 });
  });

  it('cannot be asked over TLS 1.2', async () => {
    const port = await serve('node', 'accepted');
    const refused = new Promise<string>((resolve) => {
      const { ca } = node.material;
      const old = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ALPNProtocols: ['h2'] } as const;
      const socket = tls.connect({ host: '127.0.0.1', port, ca, ...old });
      socket.once('secureConnect', () => resolve(`connected with ${socket.getProtocol()}`));
      socket.once('error', (error) => resolve(error.message));
    });
    expect(await refused).toMatch(/protocol version/);
  });
});
