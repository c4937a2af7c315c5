import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { Client, credentials as grpcCredentials } from '@grpc/grpc-js';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../../src/base/limits.ts';
import { type PeerFrame, peerService } from '../../../src/proto/peer.ts';
import type { MethodDefinition } from '../../../src/proto/registry.ts';
import type { GrpcPeerTransport } from '../../../src/replication/transport/grpcPeerTransport.ts';
import type { PeerCredentials } from '../../../src/replication/transport/types.ts';
import { TestAuthority, testNodeId } from './certificates.ts';
import { RecordingReceiver, TestDirectory } from './testPeers.ts';
import { waitFor } from './waitFor.ts';

const A = testNodeId(0xa);
const B = testNodeId(0xb);
const FIRST_WORD_MS = 1_000;

let authority: TestAuthority;
let ofA: PeerCredentials;
let directory: TestDirectory;
let b: GrpcPeerTransport;
const sockets: (Socket | TLSSocket)[] = [];

beforeAll(async () => {
  authority = await TestAuthority.create();
  ofA = await authority.issueNode(A);
});

beforeEach(async () => {
  directory = new TestDirectory(authority);
  b = await directory.listen(B, { firstWordMs: FIRST_WORD_MS });
  b.start(new RecordingReceiver());
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await directory.close();
});

/** Over TLS, as node A unless told otherwise. */
async function secureSocket(credentials: PeerCredentials | null = ofA): Promise<TLSSocket> {
  const identity = credentials === null ? {} : { cert: credentials.certificate, key: credentials.privateKey };
  const socket = connectTls({
    port: b.port,
    host: '127.0.0.1',
    ca: authority.pem,
    ...identity,
    ALPNProtocols: ['h2'],
    checkServerIdentity: () => undefined,
  });
  sockets.push(socket);
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  return socket;
}

/** What the other side sends is read, so that its end is seen. */
async function untilClosed(socket: Socket): Promise<void> {
  socket.resume();
  await waitFor(() => socket.closed || socket.destroyed || socket.readableEnded);
}

test('5 seconds are given by default', () => {
  expect(LIMITS.peerHandshakeTimeoutMs).toBe(5_000);
});

describe('a connection is closed that', () => {
  test('never begins TLS', async () => {
    const socket = connectTcp(b.port, '127.0.0.1');
    sockets.push(socket);
    socket.on('error', () => undefined);
    await untilClosed(socket);
    await waitFor(() => b.refused.get('handshake') === 1);
  });

  test('never finishes TLS', async () => {
    const socket = connectTcp(b.port, '127.0.0.1');
    sockets.push(socket);
    socket.on('error', () => undefined);
    // The head of a ClientHello record, and no more.
    socket.write(Buffer.from('160301020001', 'hex'));
    await untilClosed(socket);
    await waitFor(() => b.refused.get('handshake') === 1);
  });

  test('proves to be a node and never speaks HTTP/2', async () => {
    await untilClosed(await secureSocket());
    expect([...b.refused]).toEqual([['silentConnection', 1]]);
  });

  test('speaks HTTP/2 and never opens a stream', async () => {
    const socket = await secureSocket();
    const session = connectHttp2('https://peer', { createConnection: () => socket });
    session.on('error', () => undefined);
    await waitFor(() => session.closed || session.destroyed || socket.destroyed);
    expect(b.refused.get('silentConnection')).toBe(1);
  });

  test('proves nothing and never speaks', async () => {
    await untilClosed(await secureSocket(null));
    expect([...b.refused]).toEqual([['silentConnection', 1]]);
  });
});

function openStream(): {
  status: Promise<{ code: number }>;
  write: (frame: PeerFrame) => void;
  close: () => void;
} {
  const client = new Client(
    `127.0.0.1:${b.port}`,
    grpcCredentials.createSsl(authority.pem, ofA.privateKey, ofA.certificate, {
      checkServerIdentity: () => undefined,
    }),
    { 'grpc.use_local_subchannel_pool': 1, 'grpc.ssl_target_name_override': 'peer' },
  );
  const method = peerService['control'] as MethodDefinition<PeerFrame, object>;
  const stream = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
  );
  stream.on('data', () => undefined);
  stream.on('error', () => undefined);
  const status = new Promise<{ code: number }>((resolve) => stream.on('status', resolve));
  return { status, write: (frame) => void stream.write(frame), close: () => client.close() };
}

describe('a stream', () => {
  test('without a first frame is ended', async () => {
    const { status, close } = openStream();
    expect((await status).code).toBe(4);
    expect([...b.refused]).toEqual([['silentStream', 1]]);
    close();
  });

  test('whose first frame came may be silent as long as it likes', async () => {
    const quick = openStream();
    const silent = openStream();
    quick.write({ messages: [], wallMs: 1, forwards: [], address: '' });
    await silent.status;
    // The silent one was opened later, and is gone; this one stays.
    let over = false;
    void quick.status.then(() => {
      over = true;
    });
    const later = openStream();
    await later.status;
    expect(over).toBe(false);
    expect(b.refused.get('silentStream')).toBe(2);
    for (const stream of [quick, silent, later]) stream.close();
  });
});

test('members greet each other: they stay connected without having anything to say', async () => {
  const a = await directory.listen(A);
  a.setPeers([B]);
  await waitFor(() => a.peers().every(({ connected }) => connected));
  const silent = openStream();
  await silent.status;
  silent.close();
  expect(a.peers().every(({ connected }) => connected)).toBe(true);
  expect([...b.refused]).toEqual([['silentStream', 1]]);
});

test('a certificate of ours that names no node of this cluster is counted, and reaches no more than a stranger', async () => {
  const socket = await secureSocket(await authority.issue(`holdfast://another/node/${A}`));
  await waitFor(() => b.refused.get('foreignCertificate') === 1);
  await untilClosed(socket);
});
