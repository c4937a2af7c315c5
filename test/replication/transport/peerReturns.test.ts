import { createServer, type Server } from 'node:net';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import type { Logger } from '../../../src/base/logger.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { type RandomSource, systemRandom } from '../../../src/base/random.ts';
import { PeerChannel } from '../../../src/replication/transport/peerChannel.ts';
import { PeerDialer } from '../../../src/replication/transport/peerDialing.ts';
import { identifyNode, TestAuthority, testNodeId } from './certificates.ts';
import { RecordingReceiver, TestDirectory, TRUSTING } from './testPeers.ts';
import { waitFor } from './waitFor.ts';

const A = testNodeId(0xa);
const B = testNodeId(0xb);
const HOUR_MS = 3_600_000;

/** What is put off is put off for an hour. */
const inAnHour: RandomSource = { ...systemRandom, integer: () => HOUR_MS };

let authority: TestAuthority;
let directory: TestDirectory;
const channels: PeerChannel[] = [];
const servers: Server[] = [];

beforeAll(async () => {
  authority = await TestAuthority.create();
});

beforeEach(() => {
  directory = new TestDirectory(authority);
});

afterEach(async () => {
  for (const channel of channels.splice(0)) channel.close();
  for (const server of servers.splice(0)) server.close();
  await directory.close();
});

async function channelTo(address: () => string) {
  const clock = new ManualClock();
  const lost: string[] = [];
  const logger: Logger = {
    ...silentLogger,
    debug: (fields) => {
      if ('reason' in fields) lost.push(String(fields['reason']));
    },
  };
  const dialer = new PeerDialer({
    credentials: await authority.issueNode(A),
    identify: identifyNode,
    trust: TRUSTING,
  });
  const common = { peerId: B, lane: 'control', ownAddress: '', random: inAnHour } as const;
  const channel = new PeerChannel({ ...common, address, dialer, clock, logger });
  channels.push(channel);
  return { channel, clock, lost };
}

/** A port that takes connections and never says a word. */
async function silentAddress(): Promise<{ address: string; taken: () => number }> {
  let count = 0;
  const server = createServer((socket) => {
    count += 1;
    socket.on('error', () => undefined);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return { address: `127.0.0.1:${bound.port}`, taken: () => count };
}

test('a node that comes back is dialled when it dials, not only when a pause is over', async () => {
  const gone = await directory.listen(B);
  const a = await directory.listen(A, { random: inAnHour });
  await gone.close();
  a.setPeers([B]);
  const b = await directory.listen(B);
  b.start(new RecordingReceiver());
  a.start(new RecordingReceiver());
  b.setPeers([A]);
  await waitFor(() => a.peers()[0]?.connected === true && b.peers()[0]?.connected === true);
});

test('a try that has just begun goes on; one that has had no answer for a while is given up', async () => {
  const silent = await silentAddress();
  const b = await directory.listen(B);
  b.start(new RecordingReceiver());
  let address = silent.address;
  const { channel, clock, lost } = await channelTo(() => address);
  await waitFor(() => silent.taken() === 1);
  address = directory.addresses.get(B) ?? '';
  clock.advance(LIMITS.peerReconnectMsMax - 1);
  channel.peerAppeared();
  expect(lost).toEqual([]);
  clock.advance(1);
  channel.peerAppeared();
  await waitFor(() => channel.connected);
  expect(lost).toEqual(['the peer has come back']);
  clock.advance(HOUR_MS);
  channel.peerAppeared();
  expect(channel.connected).toBe(true);
});

test('a closed channel stays closed', async () => {
  const silent = await silentAddress();
  const { channel, clock } = await channelTo(() => silent.address);
  await waitFor(() => silent.taken() === 1);
  channel.close();
  clock.advance(HOUR_MS);
  channel.peerAppeared();
  expect(channel.connected).toBe(false);
  expect(silent.taken()).toBe(1);
});
