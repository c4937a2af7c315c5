import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PeerDialer } from '../../../src/replication/transport/peerDialing.ts';
import { identifyNode, TestAuthority, testNodeId } from './certificates.ts';
import { sendRawFrames } from './rawFrames.ts';
import { RecordingReceiver, TestDirectory, TRUSTING } from './testPeers.ts';
import { waitFor } from './waitFor.ts';

const [A, B] = [testNodeId(0xa), testNodeId(0xb)];
const UNDIALLABLE = ['\n', 'a\nb:1', 'dns://x/y', 'unix:/run/x', 'nowhere', 'http://a:1', '[::1:7441'];

let authority: TestAuthority;
let directory: TestDirectory;
beforeEach(async () => {
  authority = await TestAuthority.create();
  directory = new TestDirectory(authority);
});
afterEach(() => directory.close());

describe('where a peer says that it listens', () => {
  test.each(UNDIALLABLE)('is refused, and nobody is told of it: %j', async (address) => {
    const b = await directory.listen(B);
    b.start(new RecordingReceiver());
    const status = await sendRawFrames([{ messages: [], wallMs: 0, forwards: [], address }], {
      address: directory.addresses.get(B) ?? '',
      trusted: authority.pem,
      issued: await authority.issueNode(A),
    });
    expect(status.code).toBe(3);
    expect([...b.refused]).toEqual([['malformedMessage', 1]]);
    expect(directory.heardAddresses).toEqual([]);
  });
});

describe('an address that cannot be dialled', () => {
  test.each(UNDIALLABLE)('ends nothing, and is asked for again: %j', async (address) => {
    const a = await directory.listen(A);
    const b = await directory.listen(B);
    for (const one of [a, b]) one.start(new RecordingReceiver());
    const right = directory.addresses.get(B) ?? '';
    directory.addresses.set(B, address);
    a.setPeers([B]);
    await expect(a.pullSnapshot({ from: B, index: 1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    directory.addresses.set(B, right);
    await waitFor(() => a.peers().every(({ connected }) => connected));
  });
});

test('a host that is called like a scheme is a host', async () => {
  const credentials = await authority.issueNode(A);
  const { client } = new PeerDialer({ credentials, identify: identifyNode, trust: TRUSTING }).dial(
    B,
    'unix:7441',
  );
  expect(client.getChannel().getTarget()).toBe('dns:unix:7441');
  client.close();
});
