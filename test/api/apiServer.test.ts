import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import tls from 'node:tls';
import { Client, credentials, loadPackageDefinition, type ServiceError, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { service as healthService } from 'grpc-health-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { answerToPlainHttp } from '../trust/plainHttp.ts';
import { TestAuthority } from './certificates.ts';
import { holdfastCode, rawClient, unaryCall } from './rawClient.ts';
import { Rig, type RunningNode } from './rig.ts';
import { until } from './until.ts';

let rig: Rig;
let running: RunningNode;
let clients: Client[];

beforeEach(async () => {
  rig = await Rig.create();
  running = await rig.start();
  clients = [];
});
afterEach(async () => {
  for (const client of clients) client.close();
  await rig.close();
});

function raw(pem: Parameters<typeof rawClient>[2] = rig.clientPem): Client {
  const client = rawClient(running.endpoint, rig.authority, pem);
  clients.push(client);
  return client;
}

const put = (request: object = {}) => ({
  method: 'put',
  request: { key: Buffer.from('k'), value: Buffer.from('v'), previous: false, ...request },
});

function health(client: Client): Promise<{ status: string }> {
  const check = healthService['Check'] as unknown as {
    path: string;
    requestSerialize(value: object): Buffer;
    responseDeserialize(bytes: Buffer): { status: string };
  };
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      check.path,
      (value: object) => check.requestSerialize(value),
      (bytes: Buffer) => check.responseDeserialize(bytes),
      { service: 'holdfast.v1.Kv' },
      (error, response) => (error === null && response ? resolve(response) : reject(error as ServiceError)),
    );
  });
}

function reflectedServices(client: Client, version: string): Promise<string[]> {
  const folder = dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json'));
  const loaded = loadSync(join(folder, `build/proto/grpc/reflection/${version}/reflection.proto`));
  loadPackageDefinition(loaded);
  const service = loaded[`grpc.reflection.${version}.ServerReflection`] as unknown as Record<
    string,
    { path: string; requestSerialize(v: object): Buffer; responseDeserialize(b: Buffer): object }
  >;
  const method = service['ServerReflectionInfo'];
  if (method === undefined) throw new Error('no reflection method');
  return new Promise((resolve, reject) => {
    const stream = client.makeBidiStreamRequest<object, object>(
      method.path,
      (value) => method.requestSerialize(value),
      (bytes) => method.responseDeserialize(bytes),
    );
    stream.on('error', reject);
    stream.on('data', (answer: { listServicesResponse: { service: { name: string }[] } }) => {
      resolve(answer.listServicesResponse.service.map(({ name }) => name));
      stream.end();
    });
    stream.write({ listServices: '' });
  });
}

describe('who may call', () => {
  it('takes a client certificate, and says who it is and from where', async () => {
    await unaryCall(raw(), put());
    const caller = running.node.callers[0];
    expect(caller?.principal).toMatchObject({ kind: 'client', name: 'alice' });
    expect(caller?.principal.address).toMatch(/127\.0\.0\.1:\d+$/);
  });

  it('refuses a connection without a certificate, and one of another authority', async () => {
    const refused = { code: status.UNAUTHENTICATED };
    await expect(unaryCall(raw(null), put())).rejects.toMatchObject(refused);
    const stranger = await (await TestAuthority.create()).client('alice');
    // Its CA has the name of ours: the handshake itself may end there.
    const { code } = await unaryCall(raw(stranger), put()).catch((thrown: { code: number }) => thrown);
    expect([status.UNAUTHENTICATED, status.UNAVAILABLE]).toContain(code);
    expect(running.node.calls).toBe(0);
  });

  it('takes not even a message of who shows neither a certificate nor a token that is good', async () => {
    // Of a client it is refused for its length, once it is there.
    const tooLong = put({ value: Buffer.alloc(LIMITS.requestBytesMax + 1_000_000) });
    await expect(unaryCall(raw(), tooLong)).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    await expect(unaryCall(raw(null), tooLong)).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
    expect(running.node.calls).toBe(0);
  });

  it.each(['no longer', 'not yet'] as const)('refuses a certificate that is valid %s', async (valid) => {
    const untimely = raw(await rig.authority.client('alice', valid));
    await expect(unaryCall(untimely, put())).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
    expect(running.node.calls).toBe(0);
  });

  it('refuses plain text: of gRPC, and of HTTP/1.1, which it does not answer', async () => {
    const plain = new Client(running.endpoint, credentials.createInsecure(), { 'grpc.enable_retries': 0 });
    clients.push(plain);
    await expect(unaryCall(plain, put())).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await expect(health(plain)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    expect(await answerToPlainHttp(running.port)).not.toContain('HTTP');
    expect(running.node.calls).toBe(0);
  });

  it("takes a node's certificate for nobody, in every service", async () => {
    const node = raw(await rig.authority.node('0000000000000009'));
    const refused = { code: status.UNAUTHENTICATED };
    await expect(unaryCall(node, put())).rejects.toMatchObject(refused);
    await expect(
      unaryCall(node, { service: 'cluster', method: 'status', request: {} }),
    ).rejects.toMatchObject(refused);
    await expect(health(node)).rejects.toMatchObject(refused);
    await expect(reflectedServices(node, 'v1')).rejects.toMatchObject(refused);
    await expect(reflectedServices(node, 'v1alpha')).rejects.toMatchObject(refused);
    expect(running.node.calls).toBe(0);
  });

  it('speaks TLS 1.3 and nothing older', async () => {
    const connect = (version: 'TLSv1.2' | 'TLSv1.3') =>
      new Promise<string | null>((resolve, reject) => {
        const options = {
          port: running.port,
          host: '127.0.0.1',
          ca: rig.authority.pem,
          cert: rig.clientPem.certificate,
          key: rig.clientPem.privateKey,
          minVersion: version,
          maxVersion: version,
          ALPNProtocols: ['h2'],
        };
        const socket = tls.connect(options, () => {
          resolve(socket.getProtocol());
          socket.destroy();
        });
        socket.on('error', reject);
      });
    expect(await connect('TLSv1.3')).toBe('TLSv1.3');
    await expect(connect('TLSv1.2')).rejects.toThrow(/protocol version/);
  });
});

describe('a unary call', () => {
  it('gives the port the deadline of the caller, within bounds', async () => {
    const client = raw();
    const before = performance.now();
    await unaryCall(client, { ...put(), timeoutMs: 60_000 });
    await unaryCall(client, { ...put(), timeoutMs: 10 * LIMITS.requestTimeoutMsMax });
    const [asked, bounded] = running.node.callers.map((caller) => caller.deadlineMs - before);
    expect(asked).toBeGreaterThan(50_000);
    expect(asked).toBeLessThan(70_000);
    expect(bounded).toBeLessThan(LIMITS.requestTimeoutMsMax + 60_000);
  });

  it('is answered at its deadline even when the port never does', async () => {
    running.node.fail('transact', { when: 'before', error: 'never answers' });
    await expect(unaryCall(raw(), { ...put(), timeoutMs: 100 })).rejects.toMatchObject({
      code: status.DEADLINE_EXCEEDED,
    });
  });

  it('is refused with code and field before the port is asked', async () => {
    const client = raw();
    const empty = await unaryCall(client, put({ key: Buffer.alloc(0) })).catch((error: unknown) => error);
    expect(holdfastCode(empty)).toBe('INVALID_ARGUMENT');
    const noRange = await unaryCall(client, { method: 'range', request: {} }).catch(
      (error: unknown) => error,
    );
    expect(holdfastCode(noRange)).toBe('INVALID_ARGUMENT');
    const badToken = { service: 'cluster', method: 'addToken', request: { role: 'king' } } as const;
    expect(holdfastCode(await unaryCall(client, badToken).catch((error: unknown) => error))).toBe(
      'INVALID_ARGUMENT',
    );
    expect(running.node.calls).toBe(0);
  });

  it('that is far too large is refused by the server itself', async () => {
    const request = put({ value: Buffer.alloc(LIMITS.requestBytesMax + 200_000) });
    await expect(unaryCall(raw(), request)).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  });

  it('gets the failure that the store decided, with the code in the trailer', async () => {
    const request = { clientId: 77, number: 1, floor: 1 };
    const refused = await unaryCall(raw(), put({ request })).catch((error: unknown) => error);
    expect(holdfastCode(refused)).toBe('REQUEST_FORGOTTEN');
  });

  it('tells a follower apart, with where the leader is', async () => {
    running.node.leader = 'leader.example:7440';
    running.node.fail('transact', { when: 'before', error: new HoldfastError('NOT_LEADER', 'fake') });
    const refused = (await unaryCall(raw(), put()).catch((error: unknown) => error)) as ServiceError;
    expect(refused.metadata.get('holdfast-leader')).toEqual(['leader.example:7440']);
  });
});

describe('the server', () => {
  it('is SERVING only while the node is ready', async () => {
    const client = raw();
    expect(await health(client)).toMatchObject({ status: 'SERVING' });
    running.server.setReady(false);
    expect(await health(client)).toMatchObject({ status: 'NOT_SERVING' });
  });

  it.each(['v1', 'v1alpha'])('lists its services by reflection %s', async (version) => {
    expect(await reflectedServices(raw(), version)).toEqual(
      expect.arrayContaining(['holdfast.v1.Kv', 'holdfast.v1.Cluster', 'grpc.health.v1.Health']),
    );
  });

  it('says PORT_IN_USE for a port that is taken', async () => {
    await expect(rig.start({ port: running.port })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining(String(running.port)) as unknown,
    });
  });

  it('answers what is under way before it stops', async () => {
    running.node.delayMs = 100;
    const answer = unaryCall(raw(), put());
    await until(() => running.node.calls > 0, 'the call');
    await rig.stop(running.server, 5_000);
    expect(await answer).toMatchObject({ revision: 2 });
  });
});
