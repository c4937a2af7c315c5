import { createPublicKey, X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { Server, status } from '@grpc/grpc-js';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { newNodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { createNodeKeyAndCsr } from '../../src/trust/certificateRequest.ts';
import { issueNodeCertificate } from '../../src/trust/certificates.ts';
import { nodeIdentity } from '../../src/trust/identity.ts';
import { callJoin } from '../../src/trust/joinCall.ts';
import { type JoinOptions, joinCluster } from '../../src/trust/joinClient.ts';
import { parseJoinToken } from '../../src/trust/joinToken.ts';
import { fromRefusalStatus } from '../../src/trust/refusalStatus.ts';
import { requireTls13, serverCredentials, TlsMaterialHolder, tlsMaterial } from '../../src/trust/tls.ts';
import { DAY_MS, newCluster, newNode, random, type TestCluster, type TestNode } from './cluster.ts';
import { controlKeyOf, FakeJoinPort, JWT_SECRET_FINGERPRINT } from './fakeJoinPort.ts';
import { JoinPeers, joinRequestOf } from './joinPeers.ts';
import { deadAddress, silentTcpServer, silentTlsServer } from './tlsServer.ts';

let cluster: TestCluster;
let node: TestNode;
let port: FakeJoinPort;
let peers: JoinPeers;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  requireTls13();
  cluster = await newCluster();
  node = await newNode(cluster);
});
beforeEach(() => {
  port = new FakeJoinPort(cluster);
  peers = new JoinPeers();
});
afterEach(async () => {
  await peers.close();
  await Promise.all(closing.splice(0).map((close) => close()));
});

const serve = (joinPort: FakeJoinPort, by: TestNode = node): Promise<string> => peers.serve(joinPort, by);

async function opened<T extends { address: string; close(): Promise<void> }>(
  starting: Promise<T>,
): Promise<string> {
  const server = await starting;
  closing.push(() => server.close());
  return server.address;
}

function join(token: string, choice: Partial<JoinOptions> & { timeoutMs?: number } = {}) {
  const { timeoutMs = 10_000, ...rest } = choice;
  return joinCluster({
    token,
    nodeId: newNodeId(random),
    name: 'n2',
    peerAddress: 'n2.example.net:7441',
    apiAddress: '10.0.0.2:7440',
    controlKeys: [controlKeyOf(2), controlKeyOf(1)],
    jwtSecretFingerprints: [JWT_SECRET_FINGERPRINT],
    encryption: null,
    random,
    deadlineMs: systemClock.monotonicMs() + timeoutMs,
    clock: systemClock,
    ...rest,
  });
}

describe('joining over real gRPC', () => {
  it('gives a certificate for our own key and id, the ids, the keyring, the members and the role', async () => {
    const { text } = port.newToken([await serve(port)], 'learner');
    const nodeId = newNodeId(random);
    const joined = await join(text, { nodeId });
    expect(joined).toMatchObject({ clusterId: cluster.clusterId, storeId: port.storeId, role: 'learner' });
    expect(joined.authorities).toEqual([cluster.authority.certificate]);
    expect(nodeIdentity(joined.nodeCertificate, cluster.context)).toBe(nodeId);
    const certificate = new X509Certificate(joined.nodeCertificate);
    expect(certificate.publicKey.equals(createPublicKey(joined.privateKey))).toBe(true);
    expect(certificate.checkHost('n2.example.net')).toBe('n2.example.net');
    expect(certificate.checkIP('10.0.0.2')).toBe('10.0.0.2');
    expect(joined.keyring).toEqual(port.keyring());
    const member = {
      nodeId,
      name: 'n2',
      peerAddress: 'n2.example.net:7441',
      apiAddress: '10.0.0.2:7440',
      wantedRole: 'learner',
    };
    expect(joined.members.map((each) => ({ ...each }))).toEqual([member]);
  });

  it('passes over addresses that are dead, deaf or of another cluster', async () => {
    const foreign = await newCluster();
    const foreignAddress = await opened(silentTlsServer((await newNode(foreign)).material));
    const { text } = port.newToken([await deadAddress(), foreignAddress, await serve(port)]);
    await expect(join(text)).resolves.toMatchObject({ role: 'voter' });
  });

  it('follows a hint to the leader, which is not in the token', async () => {
    const follower = new FakeJoinPort(cluster, port);
    follower.leader = await serve(port);
    const { text } = port.newToken([await serve(follower)]);
    await expect(join(text)).resolves.toMatchObject({ role: 'voter' });
    expect(follower.calls).toBe(0);
  });

  it('stops following hints that go round in a circle, at its deadline', async () => {
    const other = new FakeJoinPort(cluster, port);
    other.leader = await serve(port);
    port.leader = await serve(other);
    const { text } = port.newToken([port.leader]);
    await expect(join(text, { timeoutMs: 2_000 })).rejects.toMatchObject({ code: 'NOT_LEADER' });
    expect(port.calls + other.calls).toBe(0);
  });

  it('asks again while there is no leader, with the same key', async () => {
    let refusals = 2;
    const address = await serve(port);
    const { text, token } = port.newToken([address]);
    port.beforeUse = () => {
      refusals -= 1;
      if (refusals < 0) return Promise.resolve();
      return Promise.reject(new HoldfastError('NO_LEADER', 'no leader is known'));
    };
    await expect(join(text)).resolves.toMatchObject({ role: 'voter' });
    expect(port.calls).toBe(3);
    expect(token.usedBy).not.toBeNull();
  });
});

describe('a join is refused', () => {
  it('with the cluster’s own words when the token is unknown, expired or used', async () => {
    const address = await serve(port);
    const unknown = new FakeJoinPort(cluster).newToken([address]);
    await expect(join(unknown.text)).rejects.toMatchObject({ code: 'TOKEN_UNKNOWN', field: 'token' });
    const expired = port.newToken([address]);
    expired.token.expired = true;
    await expect(join(expired.text)).rejects.toMatchObject({ code: 'TOKEN_EXPIRED' });
    const used = port.newToken([address]);
    await join(used.text);
    await expect(join(used.text)).rejects.toMatchObject({
      code: 'TOKEN_USED',
      hint: 'Make another ? new ? one.',
    });
    expect(port.learners).toHaveLength(1);
  });

  it('before anything is sent when the token is mistyped', async () => {
    const { text } = port.newToken([await serve(port)]);
    const at = text.length - 12;
    const mistyped = `${text.slice(0, at)}${text.charAt(at) === 'x' ? 'y' : 'x'}${text.slice(at + 1)}`;
    await expect(join(mistyped)).rejects.toMatchObject({ code: 'TOKEN_MALFORMED' });
    expect(port.calls).toBe(0);
  });

  it('when the CA is not the pinned one, and the token’s secret is not sent', async () => {
    const impostor = await newCluster();
    const impostorPort = new FakeJoinPort(impostor);
    const { text } = port.newToken([await serve(impostorPort, await newNode(impostor))]);
    await expect(join(text)).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' });
    expect(impostorPort.calls).toBe(0);
  });

  it('at its deadline when a peer takes the connection and never speaks', async () => {
    const { text } = port.newToken([await opened(silentTcpServer())]);
    await expect(join(text, { timeoutMs: 200 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('at its deadline when the cluster takes the request and never answers', async () => {
    const { text } = port.newToken([await serve(port)]);
    port.beforeUse = () => new Promise(() => undefined);
    await expect(join(text, { timeoutMs: 2_000 })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  it('at once when nobody listens at any address', async () => {
    const { text } = port.newToken([await deadAddress(), await deadAddress()]);
    await expect(join(text, { timeoutMs: 60_000 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('when the answer is not for us: another key, another id, another cluster, another CA', async () => {
    const foreign = await newCluster();
    const honest: FakeJoinPort['issue'] = (request) => new FakeJoinPort(cluster).issue(request);
    const table: [string, Partial<FakeJoinPort>, string][] = [
      [
        'key',
        { issue: async (request) => honest({ ...request, csr: (await createNodeKeyAndCsr(request)).csr }) },
        'CERTIFICATE_INVALID',
      ],
      [
        'id',
        { issue: (request) => honest({ ...request, nodeId: newNodeId(random) }) },
        'CERTIFICATE_INVALID',
      ],
      ['issuer', { issuer: foreign }, 'CERTIFICATE_INVALID'],
      ['cluster id', { clusterId: foreign.clusterId }, 'CERTIFICATE_INVALID'],
      ['CA', { authorityCertificate: foreign.authority.certificate }, 'CERTIFICATE_INVALID'],
      ['trusted CAs', { trusted: [foreign.authority.certificate] }, 'CERTIFICATE_INVALID'],
      [
        'number of CAs',
        { trusted: Array<Buffer>(4).fill(cluster.authority.certificate) },
        'CERTIFICATE_INVALID',
      ],
      ['keyring', { keyring: () => Buffer.alloc(0) }, 'INVALID_ARGUMENT'],
      ['members', { members: () => [] }, 'INVALID_ARGUMENT'],
    ];
    for (const [what, change, code] of table) {
      const lying = new FakeJoinPort(cluster);
      const { text } = lying.newToken([await serve(lying)]);
      Object.assign(lying, change);
      await expect(join(text), what).rejects.toMatchObject({ code });
    }
    const { text } = port.newToken([await serve(port)], 'king');
    await expect(join(text)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('the Join service', () => {
  async function ask(change: object) {
    const address = await serve(port);
    const { text } = port.newToken([address]);
    const { request, csrKeyHash } = await joinRequestOf(parseJoinToken(text));
    const answer = await callJoin({
      address,
      authorityCertificate: cluster.authority.certificate,
      request: { ...request, ...change },
      csrKeyHash,
      controlKeys: [controlKeyOf(1)],
      deadlineMs: systemClock.monotonicMs() + 5_000,
      clock: systemClock,
    });
    return 'failure' in answer ? fromRefusalStatus(answer.failure, address).error : null;
  }

  it('answers a whole request', async () => {
    expect(await ask({})).toBeNull();
  });

  const bad: [object, string, string][] = [
    [{ format: 1 }, 'VERSION_UNSUPPORTED', 'format'],
    [{ tokenId: 'x' }, 'INVALID_ARGUMENT', 'token_id'],
    [{ tokenSecret: Buffer.alloc(31) }, 'INVALID_ARGUMENT', 'token_secret'],
    [{ nodeId: '1' }, 'INVALID_ARGUMENT', 'node_id'],
    [{ name: '' }, 'INVALID_ARGUMENT', 'name'],
    [{ name: 'n\n2' }, 'INVALID_ARGUMENT', 'name'],
    [{ name: 'x'.repeat(LIMITS.nameBytesMax + 1) }, 'INVALID_ARGUMENT', 'name'],
    [{ peerAddress: 'nowhere' }, 'INVALID_ARGUMENT', 'peer_address'],
    [{ peerAddress: '*.example.net:1' }, 'INVALID_ARGUMENT', 'peer_address'],
    [{ apiAddress: '' }, 'INVALID_ARGUMENT', 'api_address'],
    [{ csr: Buffer.from('x') }, 'INVALID_ARGUMENT', 'csr'],
    [{ csr: Buffer.alloc(LIMITS.csrBytesMax + 1) }, 'TOO_LARGE', 'csr'],
    [{ nonce: Buffer.alloc(31) }, 'INVALID_ARGUMENT', 'nonce'],
    [{ controlKeyFingerprints: [] }, 'INVALID_ARGUMENT', 'control_key_fingerprints'],
    [{ controlKeyFingerprints: ['x'] }, 'INVALID_ARGUMENT', 'control_key_fingerprints'],
    [{ jwtSecretFingerprints: [''] }, 'INVALID_ARGUMENT', 'jwt_secret_fingerprints'],
    [{ encryption: 'maybe' }, 'INVALID_ARGUMENT', 'encryption'],
  ];
  it.each(bad)('refuses %j as %s, and the token is still good', async (change, code, field) => {
    expect(await ask(change)).toMatchObject({ code, field });
    expect(port.calls).toBe(0);
  });

  it('parses no certificate request of one who has no token', async () => {
    const csr = Buffer.from('x');
    expect(await ask({ csr, tokenSecret: Buffer.alloc(32) })).toMatchObject({ code: 'TOKEN_UNKNOWN' });
  });

  it('does not tell a stranger what broke inside', async () => {
    port.beforeUse = () => Promise.reject(new Error('secret detail'));
    const error = await ask({});
    expect(error).toMatchObject({ code: 'INTERNAL' });
    expect(error?.message).not.toContain('secret detail');
  });

  it('turns away more joins at once than its limit', async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    port.beforeUse = () => gate;
    const address = await serve(port);
    const held = Array.from({ length: LIMITS.joinsInFlightMax }, () => join(port.newToken([address]).text));
    await expect.poll(() => port.calls, { timeout: 10_000 }).toBe(LIMITS.joinsInFlightMax);
    await expect(join(port.newToken([address]).text, { timeoutMs: 2_000 })).rejects.toMatchObject({
      code: 'OVERLOADED',
    });
    release();
    await expect(Promise.all(held)).resolves.toHaveLength(LIMITS.joinsInFlightMax);
  });

  it('has its failures as gRPC statuses that a plain client understands', async () => {
    const address = await serve(port);
    const { text } = new FakeJoinPort(cluster).newToken([address]);
    await expect(join(text)).rejects.toMatchObject({ cause: { code: status.FAILED_PRECONDITION } });
  });
});

describe('renewal', () => {
  it('is taken up by a server that runs', async () => {
    const holder = new TlsMaterialHolder(node.material);
    const server = new Server();
    closing.push(() => server.forceShutdown());
    const credentials = serverCredentials(holder, { clientWithoutCertificate: 'accepted' });
    const bound = await new Promise<number>((resolve) => {
      server.bindAsync('127.0.0.1:0', credentials, (_error, number) => resolve(number));
    });
    const presented = () =>
      new Promise<Buffer>((resolve, reject) => {
        const socket = tls.connect({
          host: '127.0.0.1',
          port: bound,
          ca: node.material.ca,
          ALPNProtocols: ['h2'],
        });
        socket.once('error', reject);
        socket.once('secureConnect', () => {
          resolve(socket.getPeerCertificate().raw);
          socket.destroy();
        });
      });
    expect(await presented()).toEqual(node.certificate);
    const renewed = await issueNodeCertificate({
      authority: cluster.authority,
      clusterId: cluster.clusterId,
      csr: node.csr,
      nodeId: node.nodeId,
      names: { hosts: ['127.0.0.1'] },
      lifetimeMs: DAY_MS,
      clock: systemClock,
      random,
    });
    const authorities = [cluster.authority.certificate];
    holder.replace(tlsMaterial({ authorities, certificate: renewed, privateKey: node.privateKey }));
    expect(await presented()).toEqual(renewed);
  });
});
