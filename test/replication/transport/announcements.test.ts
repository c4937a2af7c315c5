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
  first?.announce({ checkpoints: [checkpoint], lowSpace: true, stateMissing: true });
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
});

test.each([
  ['with a digest that is none', [{ ...checkpoint, digest: Buffer.alloc(31) }], 'malformedMessage'],
  ['with an index beyond 2^53', [{ ...checkpoint, index: 2 ** 60 }], 'impossibleNumber'],
  [
    'of too many digests',
    Array.from({ length: LIMITS.stateCheckpointsTold + 1 }, () => checkpoint),
    'malformedMessage',
  ],
] as const)('one %s ends the stream and is not believed', async (_what, checkpoints, reason) => {
  const b = await directory.listen(B);
  b.start(new RecordingReceiver());
  expect(await send({ checkpoints, lowSpace: false, stateMissing: false })).toBe(3);
  expect([...b.refused]).toEqual([[reason, 1]]);
  expect(directory.announcements).toEqual([]);
});

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
