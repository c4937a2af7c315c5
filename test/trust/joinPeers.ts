import { createPublicKey } from 'node:crypto';
import { Client, credentials } from '@grpc/grpc-js';
import { systemClock } from '../../src/base/clock.ts';
import { newNodeId } from '../../src/base/ids.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { type ClusterStep, type JoinerStep, type JoinRequest, joinService } from '../../src/proto/peer.ts';
import type { MethodDefinition } from '../../src/proto/registry.ts';
import {
  PeerServer,
  type PeerServerOptions,
  type StrangerServiceFor,
} from '../../src/replication/transport/peerServer.ts';
import { Refusals } from '../../src/replication/transport/refusals.ts';
import { createNodeKeyAndCsr } from '../../src/trust/certificateRequest.ts';
import { JOIN_FORMAT } from '../../src/trust/joinFormat.ts';
import { type JoinPort, JoinService } from '../../src/trust/joinService.ts';
import type { JoinToken } from '../../src/trust/joinToken.ts';
import { keyHash } from '../../src/trust/publicKey.ts';
import { StepReader } from '../../src/trust/stepReader.ts';
import { pemOf } from '../../src/trust/tls.ts';
import { random, type TestNode } from './cluster.ts';
import { controlKeyOf, JWT_SECRET_FINGERPRINT } from './fakeJoinPort.ts';

const FIRST_WORD_MS = 5_000;

/** Real peer ports that let nodes join, and nothing else. */
export class JoinPeers {
  readonly #servers: PeerServer[] = [];

  /** Returns its address. */
  serve(port: JoinPort, by: TestNode): Promise<string> {
    const joins = new JoinService({ port, record: () => undefined, random });
    return this.serveStrangers((connection) => joins.serviceFor(connection), by);
  }

  async serveStrangers(strangerServiceFor: StrangerServiceFor, { material }: TestNode): Promise<string> {
    const options: PeerServerOptions = {
      host: '127.0.0.1',
      port: 0,
      credentials: {
        certificate: material.cert,
        privateKey: material.key,
        authorityCertificate: material.ca,
      },
      identify: () => null,
      serviceFor: () => {
        throw new Error('nobody is a node here');
      },
      strangerServiceFor,
      firstWordMs: FIRST_WORD_MS,
      refusals: new Refusals({ logger: silentLogger, clock: systemClock }),
    };
    const server = await PeerServer.listen(options);
    this.#servers.push(server);
    return `127.0.0.1:${server.port}`;
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.splice(0).map((server) => server.close()));
  }
}

export const EMPTY_REQUEST: JoinRequest = {
  tokenId: '',
  tokenSecret: Buffer.alloc(0),
  nodeId: '',
  name: '',
  peerAddress: '',
  apiAddress: '',
  csr: Buffer.alloc(0),
  hosts: [],
  format: JOIN_FORMAT,
  nonce: Buffer.alloc(0),
  controlKeyFingerprints: [],
  jwtSecretFingerprints: [],
  encryption: '',
};

/** A whole request of a new node, which names control key 1. */
export async function joinRequestOf(
  token: JoinToken,
): Promise<{ readonly request: JoinRequest; readonly csrKeyHash: Buffer }> {
  const nodeId = newNodeId(random);
  const { csr, privateKey } = await createNodeKeyAndCsr({ nodeId });
  const request: JoinRequest = {
    ...EMPTY_REQUEST,
    tokenId: token.id,
    tokenSecret: token.secret,
    nodeId,
    name: 'n',
    peerAddress: 'a:1',
    apiAddress: 'b:2',
    csr,
    nonce: random.bytes(32),
    controlKeyFingerprints: [controlKeyOf(1).fingerprint],
    jwtSecretFingerprints: [JWT_SECRET_FINGERPRINT],
  };
  return { request, csrKeyHash: keyHash(createPublicKey(privateKey)) };
}

/** One call, step by step, by somebody who says what he likes. */
export function openJoin(
  address: string,
  authorityCertificate: Uint8Array,
): { say(step: JoinerStep): void; hear(): Promise<ClusterStep> } {
  const method = joinService['join'] as MethodDefinition<JoinerStep, ClusterStep>;
  const client = new Client(
    `dns:${address}`,
    credentials.createSsl(Buffer.from(pemOf(authorityCertificate))),
    {
      'grpc.use_local_subchannel_pool': 1,
    },
  );
  const stream = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
  );
  stream.on('status', () => client.close());
  const reader = new StepReader<ClusterStep>(stream);
  return { say: (step) => void stream.write(step), hear: () => reader.next(FIRST_WORD_MS) };
}
