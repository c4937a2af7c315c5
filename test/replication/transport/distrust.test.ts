import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import type { StateSnapshot } from '../../../src/replication/replicatedLog.ts';
import type { GrpcPeerTransport } from '../../../src/replication/transport/grpcPeerTransport.ts';
import type { PeerTrust } from '../../../src/replication/transport/types.ts';
import { identifyNode, TestAuthority, testNodeId } from './certificates.ts';
import { NO_METHODS, RecordingReceiver, TestDirectory, TRUSTING } from './testPeers.ts';
import { waitFor } from './waitFor.ts';

const [A, B, C] = [testNodeId(1), testNodeId(2), testNodeId(3)];

let authority: TestAuthority;
let directory: TestDirectory;
beforeEach(async () => {
  authority = await TestAuthority.create('former');
  directory = new TestDirectory(authority);
});
afterEach(() => directory.close());

it('a connection by a certificate that is trusted no more ends with the roots, and with nothing else that is renewed', async () => {
  let isTrusted = true;
  const a = await directory.listen(A);
  const b = await directory.listen(B, {
    identify: (certificate) => (isTrusted ? identifyNode(certificate) : null),
  });
  for (const transport of [a, b]) transport.start(new RecordingReceiver());
  a.setPeers([B]);
  const connected = (): boolean => a.peers().every((peer) => peer.connected);
  await waitFor(connected);

  const own = await authority.issueNode(B);
  isTrusted = false;
  b.renew(own);
  expect(b.refused.get('foreignCertificate')).toBeUndefined();

  const next = await TestAuthority.create('next');
  const both = Buffer.concat([authority.pem, next.pem]);
  isTrusted = true;
  b.renew({ ...own, authorityCertificate: both });
  expect(b.refused.get('foreignCertificate')).toBeUndefined();
  expect(connected()).toBe(true);

  isTrusted = false;
  b.renew({ ...own, authorityCertificate: next.pem });
  // Both of its connections, for control and for bulk.
  expect(b.refused.get('foreignCertificate')).toBe(2);
  await waitFor(() => !connected());
});

const isConnected = (to: GrpcPeerTransport): boolean => to.peers().some((peer) => peer.connected);

/** The reasons for which A has lost a way to a peer. */
function reasons(): { readonly said: string[]; readonly logger: typeof silentLogger } {
  const said: string[] = [];
  const debug = (fields: object): void => {
    if ('reason' in fields) said.push(String(fields.reason));
  };
  return { said, logger: { ...silentLogger, debug } };
}

describe('a node that was dialled, whose certificate is trusted no more,', () => {
  let isTrusted: boolean;
  let a: GrpcPeerTransport;
  let said: string[];
  const distrust = async (): Promise<void> => {
    const next = await TestAuthority.create('next');
    isTrusted = false;
    a.renew({ ...(await authority.issueNode(A)), authorityCertificate: next.pem });
  };
  beforeEach(async () => {
    isTrusted = true;
    const heard = reasons();
    said = heard.said;
    a = await directory.listen(A, {
      logger: heard.logger,
      identify: (certificate) => (isTrusted ? identifyNode(certificate) : null),
    });
  });

  it('is spoken to no more once the roots have changed, and is while only the own certificate has', async () => {
    const b = await directory.listen(B);
    b.start(new RecordingReceiver());
    a.setPeers([B]);
    await waitFor(() => isConnected(a));
    isTrusted = false;
    a.renew(await authority.issueNode(A));
    isTrusted = true;
    const next = await TestAuthority.create('next');
    const both = Buffer.concat([authority.pem, next.pem]);
    a.renew({ ...(await authority.issueNode(A)), authorityCertificate: both });
    expect(isConnected(a)).toBe(true);
    await distrust();
    expect(isConnected(a)).toBe(false);
    const wanted = `the certificate that node ${B} has shown is trusted no more`;
    expect(said.filter((reason) => reason === wanted).length).toBeGreaterThan(0);
  });

  it('is not waited for', async () => {
    let asked = 0;
    const renew = (): Promise<object> => {
      asked += 1;
      return new Promise(() => undefined);
    };
    await directory.listen(B, { methods: { ...NO_METHODS, renew } });
    const answer = a.ask(B, { method: 'renew', request: {} });
    const failed = expect(answer).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('is trusted no more') as string,
    });
    await waitFor(() => asked === 1);
    await distrust();
    await failed;
  });

  it.each(['in the middle of', 'right after'] as const)('is asked nothing when that comes %s the proof', async (when) => {
    let asked = 0;
    const renew = (): Promise<object> => {
      asked += 1;
      return Promise.resolve({});
    };
    await directory.listen(B, { methods: { ...NO_METHODS, renew } });
    let proofs = 0;
    let goOn: () => void = () => undefined;
    const waiting = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const prove: PeerTrust['prove'] = async (client, { connection }) => {
      await new Promise<void>((resolve) => client.waitForReady(Date.now() + 10_000, () => resolve()));
      proofs += 1;
      await waiting;
      if (when === 'in the middle of') expect(connection).toThrow('is trusted no more');
      return () => true;
    };
    a = await directory.listen(C, {
      trust: { ...TRUSTING, prove },
      identify: (certificate) => (isTrusted ? identifyNode(certificate) : null),
    });
    const failures = [a.ask(B, { method: 'renew', request: {} }), a.pullSnapshot({ from: B, index: 1 })].map(
      (answer) => expect(answer).rejects.toThrow('is trusted no more'),
    );
    await waitFor(() => proofs === 2);
    await distrust();
    goOn();
    await Promise.all(failures);
    expect(asked).toBe(0);
  });

  it('sends no snapshot to its end', async () => {
    const receiver = new RecordingReceiver();
    receiver.snapshot = () => Promise.resolve(endless());
    const b = await directory.listen(B);
    b.start(receiver);
    const pulled = await a.pullSnapshot({ from: B, index: 1 });
    const rows = pulled.rows()[Symbol.asyncIterator]();
    await rows.next();
    await distrust();
    const toTheEnd = async (): Promise<void> => {
      while ((await rows.next()).done !== true);
    };
    await expect(toTheEnd()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await pulled.close();
  });
});

function endless(): StateSnapshot {
  async function* rows() {
    for (let at = 1_000_000; ; at += 1) {
      await Promise.resolve();
      yield [{ key: Buffer.from(`k${at}`), envelope: Buffer.alloc(100_000) }];
    }
  }
  const configuration = { voters: [A, B], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  return {
    metadata: { index: 40, term: 3, hash: Buffer.alloc(32, 9), configuration },
    keyring: Buffer.from('keyring'),
    rows,
    close: () => Promise.resolve(),
  };
}

describe('connections that stand end with the certificate that was shown on them', () => {
  const DAY_MS = 86_400_000;

  it('at the node that was dialled', async () => {
    const clock = new ManualClock(Date.now());
    const b = await directory.listen(B, { clock });
    b.start(new RecordingReceiver());
    const a = await directory.listen(A);
    a.setPeers([B]);
    await waitFor(() => isConnected(a));
    clock.jumpWall(2 * DAY_MS);
    await waitFor(() => b.refused.has('expiredCertificate'));
    await waitFor(() => !isConnected(a));
  });

  it('at the node that has dialled', async () => {
    const clock = new ManualClock(Date.now());
    const { said, logger } = reasons();
    const b = await directory.listen(B);
    b.start(new RecordingReceiver());
    const a = await directory.listen(A, { clock, logger });
    a.setPeers([B]);
    await waitFor(() => isConnected(a));
    clock.jumpWall(2 * DAY_MS);
    const wanted = `the certificate that node ${B} has shown has expired`;
    await waitFor(() => said.includes(wanted));
  });
});
