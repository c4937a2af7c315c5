import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { connect } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { Forward, PeerFrame } from '../../../src/proto/peer.ts';
import type { Message } from '../../../src/replication/raft/types.ts';
import { encodeMessage } from '../../../src/replication/transport/messageCodec.ts';
import { TestAuthority, testNodeId } from './certificates.ts';
import { sendRawFrames } from './rawFrames.ts';
import { RecordingReceiver, TestDirectory } from './testPeers.ts';
import { waitFor } from './waitFor.ts';

const A = testNodeId(0xa);
const B = testNodeId(0xb);
const C = testNodeId(0xc);

let authority: TestAuthority;
let directory: TestDirectory;
const silentServers: Server[] = [];
const sockets = new Set<Socket>();

beforeAll(async () => {
  authority = await TestAuthority.create();
});

beforeEach(() => {
  directory = new TestDirectory(authority);
});

afterEach(async () => {
  await directory.close();
  for (const socket of sockets) socket.destroy();
  for (const server of silentServers.splice(0)) server.close();
});

function heartbeat(round: number, from = A, to = B): Message {
  return { type: 'heartbeat', from, to, term: 1, commit: 0, round };
}

function append(bytes: number, index = 1): Message {
  const payload = Buffer.alloc(bytes, 7);
  const hash = Buffer.alloc(32, 1);
  return {
    type: 'append',
    from: A,
    to: B,
    term: 1,
    previous: { index: index - 1, term: 1 },
    previousHash: Buffer.alloc(32),
    entries: [{ index, term: 1, type: 'normal', payload, hash }],
    commit: 0,
  };
}

/** A port that takes connections and never says a word. */
async function listenSilently(): Promise<string> {
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  silentServers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? `127.0.0.1:${address.port}` : '';
}

async function pair(): Promise<{
  send: (messages: readonly Message[]) => void;
  receiver: RecordingReceiver;
}> {
  const receiver = new RecordingReceiver();
  const b = await directory.listen(B);
  b.start(receiver);
  const a = await directory.listen(A);
  a.start(new RecordingReceiver());
  a.setPeers([A, B]);
  await waitFor(() => a.peers().every(({ connected }) => connected));
  return { send: (messages) => a.send(messages), receiver };
}

/** Speaks to B with a certificate of our choice. */
async function rawFrames(
  frames: readonly (PeerFrame | Buffer)[],
  options: { from?: typeof A; authority?: TestAuthority } = {},
): Promise<{ code: number; details: string }> {
  const issued = await (options.authority ?? authority).issueNode(options.from ?? A);
  return sendRawFrames(frames, { address: directory.addresses.get(B) ?? '', trusted: authority.pem, issued });
}

describe('between members', () => {
  test('messages arrive in the order of their lane, with the clock of the sender', async () => {
    const receiver = new RecordingReceiver();
    const b = await directory.listen(B);
    b.start(receiver);
    const fast = { ...systemClock, wallMs: () => systemClock.wallMs() + 60_000 };
    const a = await directory.listen(A, { clock: fast });
    a.setPeers([B]);
    await waitFor(() => a.peers().every(({ connected }) => connected));
    a.send([heartbeat(1), heartbeat(2), heartbeat(3)]);
    await waitFor(() => receiver.received.length === 3);
    expect(receiver.received).toEqual([heartbeat(1), heartbeat(2), heartbeat(3)]);
    expect(receiver.clocks.get(A)).toBeGreaterThan(55_000);
    expect(receiver.clocks.get(A)).toBeLessThan(65_000);
  });

  test('entries of 2 MiB pass, many at once, and none is changed', async () => {
    const { send, receiver } = await pair();
    // The lane of entries may open after that of heartbeats, and entries for one that is not open are not kept.
    await waitFor(() => {
      send([append(1)]);
      return receiver.received.length > 0;
    });
    const sent = Array.from({ length: 12 }, (_, i) => append(2 * 1024 * 1024, i + 1));
    send(sent);
    const entries = () =>
      receiver.received.flatMap((message) => (message.type === 'append' ? message.entries : []));
    const large = () => entries().filter(({ payload }) => payload.length > 1);
    await waitFor(() => large().length === sent.length);
    expect(large().map(({ index }) => index)).toEqual(sent.map((_, i) => i + 1));
    expect(large().every(({ payload }) => payload.every((byte) => byte === 7))).toBe(true);
  });

  test('forwards and their refusals arrive', async () => {
    const receivers = [new RecordingReceiver(), new RecordingReceiver()] as const;
    const a = await directory.listen(A);
    const b = await directory.listen(B);
    a.start(receivers[0]);
    b.start(receivers[1]);
    a.setPeers([B]);
    b.setPeers([A]);
    await waitFor(() => a.forward(B, { sequence: 1, envelope: Buffer.alloc(1000) }));
    await waitFor(() => receivers[1].forwards.length >= 1);
    expect(receivers[1].forwards[0]).toEqual({ from: A, sequence: 1, bytes: 1000 });
    await waitFor(() => b.forward(A, { sequence: 2, envelope: Buffer.alloc(1) }));
    b.refuseForward(A, 1);
    await waitFor(() => receivers[0].refusals.length === 1);
    expect(receivers[0].refusals[0]).toEqual({ from: B, sequence: 1 });
    expect(a.forward(C, { sequence: 3, envelope: Buffer.alloc(1) })).toBe(false);
  });

  test('a forward does not go round: its refusal is told once, and answered by nothing', async () => {
    const receivers = [new RecordingReceiver(), new RecordingReceiver()] as const;
    const a = await directory.listen(A);
    const b = await directory.listen(B);
    a.start(receivers[0]);
    b.start(receivers[1]);
    a.setPeers([B]);
    b.setPeers([A]);
    await waitFor(() => a.forward(B, { sequence: 1, envelope: Buffer.alloc(1) }));
    await waitFor(() => receivers[1].forwards.length === 1);
    await waitFor(() => {
      b.refuseForward(A, 1);
      return receivers[0].refusals.length > 0;
    });
    // What was sent after it has arrived: nothing else came of it on either side.
    a.send([heartbeat(1)]);
    await waitFor(() => receivers[1].received.length === 1);
    expect(receivers[0].forwards).toEqual([]);
    expect(receivers[1].forwards).toHaveLength(1);
    expect(receivers[1].refusals).toEqual([]);
  });

  test('a peer that comes back, at another address, is found again', async () => {
    const a = await directory.listen(A);
    a.setPeers([B]);
    const first = await directory.listen(B);
    await waitFor(() => a.peers().every(({ connected }) => connected));
    await first.close();
    await waitFor(() => a.peers().every(({ connected }) => !connected));
    const receiver = new RecordingReceiver();
    const second = await directory.listen(B);
    second.start(receiver);
    await waitFor(() => a.peers().every(({ connected }) => connected));
    a.send([heartbeat(9)]);
    await waitFor(() => receiver.received.length === 1);
  });

  test('renewed certificates are used by connections from then on', async () => {
    const b = await directory.listen(B);
    const a = await directory.listen(A);
    const renewed = await authority.issueNode(B);
    b.renew(renewed);
    a.renew(await authority.issueNode(A));
    const serial = await new Promise<string>((resolve, reject) => {
      const socket = connect(
        { port: b.port, host: '127.0.0.1', ca: authority.pem, checkServerIdentity: () => undefined },
        () => {
          resolve(socket.getPeerX509Certificate()?.toString() ?? '');
          socket.destroy();
        },
      );
      socket.on('error', reject);
    });
    expect(serial.replaceAll(/\s/g, '')).toBe(renewed.certificate.toString().replaceAll(/\s/g, ''));
    a.setPeers([B]);
    await waitFor(() => a.peers().every(({ connected }) => connected));
  });
});

describe('peers that are not well', () => {
  test('one that takes connections and never speaks is dialled anew; what waits for it is bounded', async () => {
    directory.addresses.set(B, await listenSilently());
    const a = await directory.listen(A);
    a.setPeers([B]);
    for (let round = 1; round <= 10_000; round += 1) a.send([heartbeat(round)]);
    const [peer] = a.peers();
    expect(peer?.connected).toBe(false);
    expect(peer?.dropped).toBeGreaterThan(5_000);
    const receiver = new RecordingReceiver();
    const b = await directory.listen(B);
    b.start(receiver);
    await waitFor(() => a.peers().every(({ connected }) => connected), { deadlineMs: 8_000 });
  });

  test('entries for a peer that is away are not kept', async () => {
    directory.addresses.set(B, await listenSilently());
    const a = await directory.listen(A);
    a.setPeers([B]);
    for (let index = 1; index <= 10; index += 1) a.send([append(1024 * 1024, index)]);
    expect(a.peers()[0]?.queuedBytes).toBe(0);
  });

  test('a peer that stops reading fills the queue, and no more than the queue', async () => {
    const { send, receiver } = await pair();
    const a = directory.transports.at(-1);
    await waitFor(() => {
      send([append(1)]);
      return receiver.received.length > 0;
    });
    // B shares our event loop: as long as this turn lasts it reads nothing, like a node that hangs.
    for (let index = 1; index <= 64; index += 1) send([append(1024 * 1024, index)]);
    const peer = a?.peers()[0];
    expect(peer?.queuedBytes).toBeLessThanOrEqual(33 * 1024 * 1024);
    expect(peer?.dropped).toBeGreaterThan(16);
  });

  test('a node that answers at the address of another is not spoken to', async () => {
    const c = await directory.listen(C);
    const receiver = new RecordingReceiver();
    c.start(receiver);
    directory.addresses.set(B, `127.0.0.1:${c.port}`);
    const reasons: string[] = [];
    const debug = (fields: object): void => {
      if ('reason' in fields) reasons.push(String(fields.reason));
    };
    const a = await directory.listen(A, { logger: { ...silentLogger, debug } });
    a.setPeers([B, C]);
    await waitFor(() => a.peers().some(({ nodeId, connected }) => nodeId === C && connected));
    a.send([heartbeat(1)]);
    await waitFor(() => reasons.length >= 4);
    expect(reasons.every((reason) => reason.includes(`not that of node ${B}`))).toBe(true);
    expect(a.peers().find(({ nodeId }) => nodeId === B)?.connected).toBe(false);
    expect(receiver.received).toEqual([]);
  });
});

describe('what the port refuses', () => {
  test.each([
    ['another authority', 'other authority', [12]],
    // OpenSSL may end such a connection instead, since the signature it checks is wrong.
    ['another authority of the same name', 'test authority', [12, 14]],
  ])('a certificate of %s is nobody', async (_what, name, codes) => {
    const b = await directory.listen(B);
    const receiver = new RecordingReceiver();
    b.start(receiver);
    const frame = { messages: [encodeMessage(heartbeat(1))], wallMs: 1, forwards: [], address: '' };
    const status = await rawFrames([frame], { authority: await TestAuthority.create(name) });
    expect(codes).toContain(status.code);
    expect(receiver.received).toEqual([]);
  });

  test('what the core refuses, counted with its own reason and logged once', async () => {
    const warnings: object[] = [];
    const warn = (fields: object): void => void warnings.push(fields);
    const receiver = new RecordingReceiver();
    receiver.refuse = ({ type }) => [{ type, reason: 'termJump' }];
    const b = await directory.listen(B, { logger: { ...silentLogger, warn } });
    b.start(receiver);
    const wire = encodeMessage(heartbeat(1));
    await rawFrames([{ messages: [wire, wire, wire], wallMs: 1, forwards: [], address: '' }]);
    expect([...b.refused]).toEqual([['termJump', 3]]);
    expect(warnings).toEqual([{ peerId: A, type: 'heartbeat', reason: 'termJump', count: 1 }]);
  });

  test('a forward in the name of another', async () => {
    const b = await directory.listen(B);
    b.start(new RecordingReceiver());
    const forward = { nodeId: C, sequence: 1, envelope: Buffer.alloc(1), refused: false };
    expect((await rawFrames([{ messages: [], wallMs: 1, forwards: [forward], address: '' }])).code).toBe(3);
    expect([...b.refused]).toEqual([['wrongSender', 1]]);
  });

  test('nothing for a forward without bytes: they are empty, and bytes', async () => {
    const b = await directory.listen(B);
    const receiver = new RecordingReceiver();
    const envelopes: Uint8Array[] = [];
    receiver.forwarded = ({ envelope }) => void envelopes.push(envelope);
    b.start(receiver);
    const forward = { nodeId: A, sequence: 1, refused: false } as Partial<Forward> as Forward;
    expect((await rawFrames([{ messages: [], wallMs: 1, forwards: [forward], address: '' }])).code).toBe(0);
    expect(envelopes).toEqual([new Uint8Array(0)]);
    expect(envelopes[0]).toBeInstanceOf(Uint8Array);
  });

  test('a removed node, also on a stream that it has open', async () => {
    const { send, receiver } = await pair();
    send([heartbeat(1)]);
    await waitFor(() => receiver.received.length === 1);
    directory.removed.add(A);
    send([heartbeat(2)]);
    const [b, a] = directory.transports;
    await waitFor(() => a?.peers()[0]?.connected === false);
    expect(receiver.received).toHaveLength(1);
    expect(b?.refused.get('notMember')).toBeGreaterThan(0);
  });

  test.each([
    ['from another node than the certificate names', { from: C }, 'wrongSender'],
    ['to another node', { to: C }, 'wrongReceiver'],
    ['of an unknown type', { type: 99 }, 'malformedMessage'],
    ['with a term beyond 2^53', { term: 2 ** 60 }, 'impossibleNumber'],
    ['with a term of 2^64 - 1', { term: 2 ** 64 - 2048 }, 'impossibleNumber'],
    ['with entries where none belong', { entries: encodeMessage(append(1)).entries }, 'malformedEntries'],
  ] as const)('a message %s ends the stream', async (_what, change, reason) => {
    const b = await directory.listen(B);
    const receiver = new RecordingReceiver();
    b.start(receiver);
    const wire = { ...encodeMessage(heartbeat(1)), ...change };
    const status = await rawFrames([{ messages: [wire], wallMs: 1, forwards: [], address: '' }]);
    expect(status.code).toBe(3);
    expect(receiver.received).toEqual([]);
    expect([...b.refused]).toEqual([[reason, 1]]);
  });

  test('a frame that is no frame, and one that is too large', async () => {
    const b = await directory.listen(B);
    b.start(new RecordingReceiver());
    expect((await rawFrames([Buffer.from('ffffffff', 'hex')])).code).toBe(3);
    expect(b.refused.get('malformedFrame')).toBe(1);
    expect((await rawFrames([Buffer.alloc(LIMITS.peerFrameBytesAcceptedMax + 1)])).code).toBe(3);
    expect(b.refused.get('oversizedFrame')).toBe(1);
    expect((await rawFrames([Buffer.alloc(17 * 1024 * 1024)])).code).toBe(8);
  });

  test('TLS 1.2', async () => {
    const b = await directory.listen(B);
    const refused = await new Promise<string>((resolve) => {
      const old = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
      const socket = connect({ port: b.port, host: '127.0.0.1', ca: authority.pem, ...old });
      socket.on('error', (error) => resolve(error.message));
      socket.on('secureConnect', () => resolve('connected'));
    });
    expect(refused).toMatch(/protocol version/);
  });
});

test('silent connections do not keep a member out: the oldest of too many goes', async () => {
  const receiver = new RecordingReceiver();
  const b = await directory.listen(B);
  b.start(receiver);
  const [host = '', port] = (directory.addresses.get(B) ?? '').split(':');
  const closed: number[] = [];
  for (let i = 0; i < LIMITS.peerConnectionsMax; i += 1) {
    const socket = connectTcp(Number(port), host);
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => closed.push(i));
    await new Promise((resolve) => socket.once('connect', resolve));
  }
  await waitFor(() => closed.length >= LIMITS.peerConnectionsMax - LIMITS.peerHandshakesMax);
  expect(closed).toContain(0);
  const a = await directory.listen(A);
  a.start(new RecordingReceiver());
  a.setPeers([A, B]);
  await waitFor(() => a.peers().every(({ connected }) => connected));
});
