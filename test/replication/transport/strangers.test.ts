import { Client, credentials as grpcCredentials, status } from '@grpc/grpc-js';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import {
  type ClusterStep,
  type JoinerStep,
  joinService,
  type PeerFrame,
  peerService,
} from '../../../src/proto/peer.ts';
import type { MethodDefinition } from '../../../src/proto/registry.ts';
import type { Message } from '../../../src/replication/raft/types.ts';
import type { GrpcPeerTransport } from '../../../src/replication/transport/grpcPeerTransport.ts';
import { encodeMessage } from '../../../src/replication/transport/messageCodec.ts';
import { answerToPlainHttp } from '../../trust/plainHttp.ts';
import { TestAuthority, testNodeId } from './certificates.ts';
import { sendRawFrames } from './rawFrames.ts';
import { RecordingReceiver, TestDirectory } from './testPeers.ts';
import { waitFor } from './waitFor.ts';

const A = testNodeId(0xa);
const B = testNodeId(0xb);
const C = testNodeId(0xc);
const HEARTBEAT: Message = { type: 'heartbeat', from: A, to: B, term: 1, commit: 0, round: 1 };
const FRAME: PeerFrame = { messages: [encodeMessage(HEARTBEAT)], wallMs: 1, forwards: [], address: '' };

let authority: TestAuthority;
let directory: TestDirectory;
let receiver: RecordingReceiver;
let b: GrpcPeerTransport;

beforeAll(async () => {
  authority = await TestAuthority.create();
});

beforeEach(async () => {
  directory = new TestDirectory(authority);
  receiver = new RecordingReceiver();
  b = await directory.listen(B);
  b.start(receiver);
});

afterEach(() => directory.close());

test.each(['no longer', 'not yet'] as const)(
  'a certificate of ours that is valid %s makes its holder a stranger, who finds no service of peers',
  async (valid) => {
    const address = `127.0.0.1:${b.port}`;
    const send = async (issued: { privateKey: Buffer; certificate: Buffer }) =>
      sendRawFrames([FRAME], { address, trusted: authority.pem, issued });
    expect((await send(await authority.issueNode(A, valid))).code).toBe(status.UNIMPLEMENTED);
    expect(receiver.received).toEqual([]);
    expect([...b.refused]).toEqual([['foreignCertificate', 1]]);
    // The same words of one whose certificate is valid now are heard.
    await send(await authority.issueNode(A));
    expect(receiver.received).toEqual([HEARTBEAT]);
  },
);

test.each(['no longer', 'not yet'] as const)(
  'a node whose certificate is valid %s is not spoken to',
  async (valid) => {
    const heard = new RecordingReceiver();
    const c = await directory.listen(C, { credentials: await authority.issueNode(C, valid) });
    c.start(heard);
    const a = await directory.listen(A);
    a.setPeers([B, C]);
    await waitFor(() => a.peers().some(({ nodeId, connected }) => nodeId === B && connected));
    await waitFor(() => (c.refused.get('handshake') ?? 0) > 0 || heard.clocks.size > 0);
    a.send([{ ...HEARTBEAT, to: C }, HEARTBEAT]);
    await waitFor(() => receiver.received.length === 1);
    expect(a.peers().find(({ nodeId }) => nodeId === C)?.connected).toBe(false);
    expect(heard.received).toEqual([]);
  },
);

test.each([
  ['peers', peerService, 'control'],
  ['Join', joinService, 'join'],
] as const)('plain text of gRPC reaches no service: %s', async (_what, service, name) => {
  const method = present<{ path: string }>(service[name], name);
  const client = new Client(`127.0.0.1:${b.port}`, grpcCredentials.createInsecure(), {
    'grpc.enable_retries': 0,
  });
  const bytes = (value: Buffer): Buffer => value;
  const stream = client.makeBidiStreamRequest(method.path, bytes, bytes);
  stream.on('error', () => undefined);
  const ended = new Promise<{ code: number }>((resolve) => stream.on('status', resolve));
  stream.end(Buffer.alloc(0));
  expect((await ended).code).toBe(status.UNAVAILABLE);
  client.close();
  expect(receiver.received).toEqual([]);
  expect([...b.refused.keys()]).toEqual(['handshake']);
});

test('no certificate at all: Join answers', async () => {
  const client = new Client(
    `127.0.0.1:${b.port}`,
    grpcCredentials.createSsl(authority.pem, null, null, { checkServerIdentity: () => undefined }),
    { 'grpc.ssl_target_name_override': 'peer' },
  );
  const method = joinService['join'] as MethodDefinition<JoinerStep, ClusterStep>;
  const stream = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
  );
  const answer = await new Promise<ClusterStep>((resolve, reject) => {
    stream.once('data', resolve).once('error', reject);
  });
  client.close();
  expect(answer.challenge.toString()).toBe('reached');
});

test('plain text of HTTP/1.1 is not answered, and the connection is closed', async () => {
  expect(await answerToPlainHttp(b.port)).not.toContain('HTTP');
  expect([...b.refused]).toEqual([['handshake', 1]]);
});
