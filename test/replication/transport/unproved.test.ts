import type { TLSSocket } from 'node:tls';
import { Client, credentials as grpcCredentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { HoldfastError } from '../../../src/base/errors.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { peerService } from '../../../src/proto/peer.ts';
import type { GrpcPeerTransport } from '../../../src/replication/transport/grpcPeerTransport.ts';
import type { PeerCredentials, PeerGate } from '../../../src/replication/transport/types.ts';
import { TestAuthority, testNodeId } from './certificates.ts';
import { beginCall, stubbornSocket } from './rawHttp2.ts';
import { NO_METHODS, QUIET_GATE, RecordingReceiver, TestDirectory, TRUSTING } from './testPeers.ts';
import { waitFor } from './waitFor.ts';

const [A, B] = [testNodeId(0xa), testNodeId(0xb)];
/** Longer than any test: what ends before that does not end for its silence. */
const PATIENCE_MS = 60_000;

let authority: TestAuthority;
let ofA: PeerCredentials;
let directory: TestDirectory;
let b: GrpcPeerTransport;
let isOpen: boolean;
let answer: PeerGate['answer'];
let gates: { isOpen: boolean }[];
/** Of each connection that has ended: by which side. */
let closedFrom: ('here' | 'there')[];
const closing: (() => void)[] = [];

beforeAll(async () => {
  authority = await TestAuthority.create();
  ofA = await authority.issueNode(A);
});
beforeEach(async () => {
  directory = new TestDirectory(authority);
  isOpen = false;
  gates = [];
  closedFrom = [];
  answer = refuseProof;
  b = await listen(PATIENCE_MS);
});
afterEach(async () => {
  for (const close of closing.splice(0)) close();
  await directory.close();
});

const refuseProof: PeerGate['answer'] = (call) => {
  const error = new HoldfastError('CONTROL_KEY_MISMATCH', 'it is another one');
  call.emit('error', Object.assign(error, { details: error.message }));
  return Promise.resolve(error);
};

/** B. Whether a connection has proved itself is so from its beginning, until `closeGates`. */
async function listen(firstWordMs: number): Promise<GrpcPeerTransport> {
  const gateFor = (): PeerGate => {
    const gate = {
      ...QUIET_GATE,
      closed: (from: 'here' | 'there') => void closedFrom.push(from),
      isOpen,
      answer: (call: Parameters<PeerGate['answer']>[0]) => answer(call),
    };
    gates.push(gate);
    return gate;
  };
  const made = await directory.listen(B, {
    firstWordMs,
    trust: { ...TRUSTING, gateFor },
    methods: NO_METHODS,
  });
  made.start(new RecordingReceiver());
  return made;
}

function closeGates(): void {
  for (const gate of gates) gate.isOpen = false;
}

/** With both of its lanes. */
async function connectA(): Promise<GrpcPeerTransport> {
  const a = await directory.listen(A);
  a.setPeers([B]);
  await waitFor(() => areConnected(a));
  return a;
}

function areConnected(a: GrpcPeerTransport): boolean {
  const bulk = a.forward(B, { sequence: 1, envelope: Buffer.alloc(1) });
  return bulk && a.peers().every(({ connected }) => connected);
}

async function socketOfA(): Promise<TLSSocket> {
  const socket = await stubbornSocket(b.port, ofA);
  closing.push(() => socket.destroy());
  return socket;
}

/** It does not close its half by itself: what is written to a connection that is not there any more is answered by a reset. */
async function untilReset(socket: TLSSocket): Promise<void> {
  await waitFor(() => {
    if (socket.writable) socket.write(Buffer.alloc(1));
    return socket.destroyed;
  });
}

const pathOf = (name: string): string => present(peerService[name], name).path;

function clientOfA(): Client {
  const client = new Client(
    `127.0.0.1:${b.port}`,
    grpcCredentials.createSsl(authority.pem, ofA.privateKey, ofA.certificate, {
      checkServerIdentity: () => undefined,
    }),
    { 'grpc.use_local_subchannel_pool': 1, 'grpc.ssl_target_name_override': 'peer' },
  );
  closing.push(() => client.close());
  return client;
}

/** A call of Prove, of which nothing is said; resolves with its status. */
function proofOf(client: Client): Promise<{ code: number }> {
  const stream = client.makeBidiStreamRequest(
    pathOf('prove'),
    (bytes: Buffer) => bytes,
    (bytes) => bytes,
  );
  stream.on('error', () => undefined);
  return new Promise((resolve) => stream.on('status', resolve));
}

function question(client: Client, { name, bytes }: { name: string; bytes: Buffer }): Promise<ServiceError> {
  const raw = (value: Buffer): Buffer => value;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(pathOf(name), raw, raw, bytes, new Metadata(), (failure) =>
      failure === null ? reject(new Error('it was answered')) : resolve(failure),
    );
  });
}

describe('a connection of a node without a proof', () => {
  it.each(['control', 'bulk'])('ends with the first call, whatever the other side does: %s', async (name) => {
    const socket = await socketOfA();
    beginCall(socket, pathOf(name));
    await untilReset(socket);
    expect([...b.refused]).toEqual([['notProved', 1]]);
  });

  it.each(['pullSnapshot', 'renew', 'prepareKey'])('ends with the first question: %s', async (name) => {
    const client = clientOfA();
    answer = () => new Promise(() => undefined);
    const prove = proofOf(client);
    const refused = await question(client, { name, bytes: Buffer.alloc(0) });
    expect(refused.code).toBe(status.UNAUTHENTICATED);
    expect((await prove).code).not.toBe(status.OK);
    expect([...b.refused]).toEqual([['notProved', 1]]);
  });

  it('ends with a proof that fails', async () => {
    const socket = await socketOfA();
    beginCall(socket, pathOf('prove'));
    await untilReset(socket);
    expect([...b.refused]).toEqual([['notProved', 1]]);
  });

  it('ends with a second call of Prove beside the first', async () => {
    let proofs = 0;
    answer = () => {
      proofs += 1;
      return new Promise(() => undefined);
    };
    const client = clientOfA();
    const first = proofOf(client);
    await waitFor(() => proofs === 1);
    expect((await proofOf(client)).code).toBe(status.FAILED_PRECONDITION);
    expect((await first).code).not.toBe(status.OK);
    expect(proofs).toBe(1);
    expect([...b.refused]).toEqual([['proofUnderWay', 1]]);
  });

  it('ends for its silence, also in the middle of a proof', async () => {
    await b.close();
    b = await listen(500);
    answer = () => new Promise(() => undefined);
    const socket = await socketOfA();
    beginCall(socket, pathOf('prove'));
    await untilReset(socket);
    expect([...b.refused]).toEqual([['silentConnection', 1]]);
  });

  it('of a removed node ends with its first call, Prove too', async () => {
    directory.removed.add(A);
    for (const name of ['prove', 'control']) {
      const socket = await socketOfA();
      beginCall(socket, pathOf(name));
      await untilReset(socket);
    }
    expect([...b.refused]).toEqual([['notMember', 2]]);
  });

  it('takes no place of who has proved itself, however many there are', async () => {
    isOpen = true;
    const a = await connectA();
    isOpen = false;
    const sockets: TLSSocket[] = [];
    for (let at = 0; at < LIMITS.peerConnectionsPerNodeMax + 1; at += 1) sockets.push(await socketOfA());
    await waitFor(() => (b.refused.get('nodeFull') ?? 0) > 0);
    await untilReset(present(sockets[0], 'oldest'));
    expect(sockets.slice(1).some(({ destroyed }) => destroyed)).toBe(false);
    expect([...b.refused]).toEqual([['nodeFull', 1]]);
    expect(areConnected(a)).toBe(true);
  });
});

describe('a request', () => {
  const malformed = Buffer.from('ffffffff', 'hex');
  const asked = ['renew', 'prepareKey', 'pullSnapshot'];

  it.each(asked)('is not even decoded before the proof: %s', async (name) => {
    expect((await question(clientOfA(), { name, bytes: malformed })).code).toBe(status.UNAUTHENTICATED);
  });

  it.each(asked)('is not taken whole before the proof when it is longer than one: %s', async (name) => {
    const bytes = Buffer.alloc(LIMITS.proofStepBytesMax + 1);
    expect((await question(clientOfA(), { name, bytes })).code).toBe(status.RESOURCE_EXHAUSTED);
    isOpen = true;
    expect((await question(clientOfA(), { name, bytes })).code).toBe(status.INVALID_ARGUMENT);
  });

  it.each(asked)('that is none, or too long, is refused and counted after it: %s', async (name) => {
    isOpen = true;
    const client = clientOfA();
    expect((await question(client, { name, bytes: malformed })).code).toBe(status.INVALID_ARGUMENT);
    expect([...b.refused]).toEqual([['malformedRequest', 1]]);
    const bytes = Buffer.alloc(LIMITS.peerRequestBytesMax + 1);
    const refused = await question(client, { name, bytes });
    expect(refused).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: `a request of ${bytes.length} bytes`,
    });
    expect(b.refused.get('oversizedRequest')).toBe(1);
  });
});

describe('a connection that was heard, and says nothing more,', () => {
  it('ends when its node is removed', async () => {
    isOpen = true;
    const a = await connectA();
    directory.removed.add(A);
    await waitFor(() => !a.peers().some(({ connected }) => connected));
    expect(b.refused.get('notMember')).toBeGreaterThan(0);
  });

  it('is told to have been closed by the side that has closed it', async () => {
    isOpen = true;
    (await connectA()).setPeers([]);
    await waitFor(() => closedFrom.length >= 2);
    expect(new Set(closedFrom)).toEqual(new Set(['there']));
    closedFrom = [];
    const a = await connectA();
    directory.removed.add(A);
    await waitFor(() => closedFrom.length >= 2);
    expect(new Set(closedFrom)).toEqual(new Set(['here']));
    a.setPeers([]);
    closedFrom = [];
    (await socketOfA()).destroy();
    await waitFor(() => closedFrom.length === 1);
    for (let at = 0; at < LIMITS.peerConnectionsPerNodeMax + 1; at += 1) await socketOfA();
    await waitFor(() => closedFrom.length === 2);
    expect(closedFrom).toEqual(['there', 'here']);
  });

  it('ends when its node has proved itself in a later process', async () => {
    isOpen = true;
    const a = await connectA();
    closeGates();
    // Both of its lanes, which are then opened anew.
    await waitFor(() => (b.refused.get('notProved') ?? 0) >= 2);
    await waitFor(() => areConnected(a));
    expect([...b.refused.keys()]).toEqual(['notProved']);
  });
});
