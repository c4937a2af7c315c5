import { type Client, Client as GrpcClient, credentials as grpcCredentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { type Announcement, type PeerFrame, peerService } from '../../../src/proto/peer.ts';
import type { MethodDefinition } from '../../../src/proto/registry.ts';
import { TestAuthority, testNodeId } from './certificates.ts';
import { RecordingReceiver, TestDirectory } from './testPeers.ts';
import { waitFor } from './waitFor.ts';

const [A, B, C] = [testNodeId(1), testNodeId(2), testNodeId(3)];
const checkpoint = { index: 512, digest: Buffer.alloc(32, 7), format: 1 };
const heardProcess = { nodeId: C, starts: 5, process: Buffer.alloc(16, 5) };

let authority: TestAuthority;
let directory: TestDirectory;
beforeEach(async () => {
  authority = await TestAuthority.create('announcements');
  directory = new TestDirectory(authority);
});
afterEach(() => directory.close());

test('an announcement reaches every peer that is connected, with the name of its sender', async () => {
  const transports = [];
  for (const nodeId of [A, B, C]) transports.push(await directory.listen(nodeId));
  for (const transport of transports) {
    transport.start(new RecordingReceiver());
    transport.setPeers([A, B, C]);
  }
  const [first] = transports;
  await waitFor(() => first?.peers().every(({ connected }) => connected) === true);
  const hash = Buffer.alloc(32, 9);
  first?.announce({
    checkpoints: [checkpoint],
    lowSpace: true,
    stateMissing: true,
    trustedAuthorities: [hash],
    ownAuthority: hash,
    term: 7,
    processes: [heardProcess],
  });
  await waitFor(() => directory.announcements.length === 2);
  expect(directory.announcements.map(({ to, nodeId }) => [nodeId, to])).toEqual(
    expect.arrayContaining([
      [A, B],
      [A, C],
    ]),
  );
  const { announcement } = directory.announcements[0] ?? {};
  expect(announcement).toMatchObject({ lowSpace: true, stateMissing: true });
  expect(announcement?.checkpoints[0]).toMatchObject({ index: 512, format: 1 });
  expect(Buffer.from(announcement?.checkpoints[0]?.digest ?? '')).toEqual(checkpoint.digest);
  expect(announcement?.trustedAuthorities.map((one) => Buffer.from(one))).toEqual([hash]);
  expect(Buffer.from(announcement?.ownAuthority ?? '')).toEqual(hash);
  expect(announcement).toMatchObject({ term: 7, processes: [{ nodeId: C, starts: 5 }] });
  expect(Buffer.from(announcement?.processes[0]?.process ?? '')).toEqual(heardProcess.process);
});

test.each([
  ['with a digest that is none', { checkpoints: [{ ...checkpoint, digest: Buffer.alloc(31) }] }],
  [
    'of too many digests',
    { checkpoints: Array.from({ length: LIMITS.stateCheckpointsTold + 1 }, () => checkpoint) },
  ],
  ['with a CA that is none', { trustedAuthorities: [Buffer.alloc(31)] }],
  [
    'of too many CAs',
    { trustedAuthorities: Array<Buffer>(LIMITS.authoritiesMax + 1).fill(Buffer.alloc(32)) },
  ],
  ['with a CA of its own that is none', { ownAuthority: Buffer.alloc(33) }],
  ['with a process that is none', { processes: [{ ...heardProcess, process: Buffer.alloc(15) }] }],
  ['of too many processes', { processes: Array.from({ length: LIMITS.membersMax + 1 }, () => heardProcess) }],
] as const)('one %s ends the stream and is not believed', async (_what, change) => {
  await expectRefused(change, 'malformedMessage');
});

test.each([
  ['an index beyond 2^53', { checkpoints: [{ ...checkpoint, index: 2 ** 60 }] }],
  ['a term beyond 2^53', { term: 2 ** 60 }],
  ['a start beyond 2^53', { processes: [{ ...heardProcess, starts: 2 ** 60 }] }],
  ['no start', { processes: [{ ...heardProcess, starts: 0 }] }],
])('one with %s ends the stream and is not believed', async (_what, change) => {
  await expectRefused(change, 'impossibleNumber');
});

async function expectRefused(change: Partial<Announcement>, reason: string): Promise<void> {
  const b = await directory.listen(B);
  b.start(new RecordingReceiver());
  const nothing = { checkpoints: [], lowSpace: false, stateMissing: false, trustedAuthorities: [] };
  const none = { ...nothing, ownAuthority: Buffer.alloc(0), term: 0, processes: [] };
  expect(await send({ ...none, ...change })).toBe(3);
  expect([...b.refused]).toEqual([[reason, 1]]);
  expect(directory.announcements).toEqual([]);
}

/** Speaks to B as A. @returns the status code at the end of the stream */
async function send(announcement: Announcement): Promise<number> {
  const issued = await authority.issueNode(A);
  const client: Client = new GrpcClient(
    directory.addresses.get(B) ?? '',
    grpcCredentials.createSsl(authority.pem, issued.privateKey, issued.certificate, {
      checkServerIdentity: () => undefined,
    }),
    { 'grpc.use_local_subchannel_pool': 1, 'grpc.ssl_target_name_override': 'peer' },
  );
  const method = peerService['control'] as MethodDefinition<PeerFrame, object>;
  const stream = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    {
      deadline: systemClock.wallMs() + 5_000,
    },
  );
  stream.on('data', () => undefined);
  stream.on('error', () => undefined);
  const ended = new Promise<{ code: number }>((resolve) => stream.on('status', resolve));
  stream.write({ messages: [], wallMs: 1, forwards: [], address: '', announcement });
  stream.end();
  const { code } = await ended;
  client.close();
  return code;
}
