import { Server } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { present } from '../../src/base/assert.ts';
import { kvService, type PutRequest } from '../../src/proto/kv.ts';
import { serverCredentials, TestAuthority } from '../api/certificates.ts';
import { CuttableHop } from '../api/proxy.ts';
import { Rig, type RunningNode } from '../api/rig.ts';
import { until } from '../api/until.ts';

let rig: Rig;
let running: RunningNode;
let hop: CuttableHop;

beforeEach(async () => {
  rig = await Rig.create();
  running = await rig.start();
  hop = await CuttableHop.open(running.port);
});
afterEach(async () => {
  await rig.close();
  hop.close();
});

describe('a connection that is cut', () => {
  it('costs no write and repeats none', async () => {
    const store = rig.client([hop.endpoint]);
    await store.put('first', '');
    running.node.delayMs = 60;
    const writes = Array.from({ length: 50 }, (_, i) => store.put(`k${i}`, '', { timeoutMs: 20_000 }));
    await until(() => running.node.calls > 20, 'writes under way');
    hop.cut();
    const revisions = await Promise.all(writes.map(async (write) => (await write).revision));
    expect(new Set(revisions).size).toBe(50);
    expect(rig.state.applied).toBe(51);
    expect(running.node.requests.length).toBeGreaterThan(51);
  });

  it('leaves no gap and no repetition in a watch', async () => {
    const store = rig.client([hop.endpoint]);
    const direct = rig.client([running.endpoint]);
    const watch = store.watch({ prefix: '' });
    await watch.ready();
    const seen: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      await direct.put(`${round}/before`, '');
      while (seen.length < 2 * round + 1) await takeInto(watch, seen);
      hop.cut();
      await direct.put(`${round}/while cut`, '');
      while (seen.length < 2 * round + 2) await takeInto(watch, seen);
    }
    expect(seen).toEqual([0, 1, 2].flatMap((round) => [`${round}/before`, `${round}/while cut`]));
    watch.close();
  });
});

async function takeInto(
  watch: ReturnType<ReturnType<Rig['client']>['watch']>,
  seen: string[],
): Promise<void> {
  const { value } = await watch.next();
  for (const event of value?.events ?? []) seen.push(event.item.key.toString());
}

describe('a server that is not what it should be', () => {
  it('is refused when its certificate is of another authority', async () => {
    const other = await TestAuthority.create();
    const store = rig.client([running.endpoint], { ca: other.pem, requestTimeoutMs: 300 });
    await expect(store.put('k', 'v')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(running.node.calls).toBe(0);
  });

  it('is refused when its certificate names another host, also for an address without a name', async () => {
    await rig.stop(running.server);
    const pem = await rig.authority.server(['localhost', '127.0.0.2']);
    const server = new Server();
    const credentials = serverCredentials(rig.authority, pem);
    const port = await bind(server, credentials);
    const store = rig.client([`127.0.0.1:${port}`], { requestTimeoutMs: 300 });
    await expect(store.cluster.status()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('127.0.0.1') as unknown,
    });
    // The name it has is taken: the server is reached, and has no such method.
    const named = rig.client([`localhost:${port}`], { requestTimeoutMs: 5_000 });
    await expect(named.cluster.status()).rejects.toMatchObject({ code: 'VERSION_UNSUPPORTED' });
    server.forceShutdown();
  });

  it('gets unary calls when it has no sessions', async () => {
    const server = new Server();
    const { put, registerClient } = kvService;
    const seen: PutRequest[] = [];
    server.addService(
      { put: present(put, 'put'), registerClient: present(registerClient, 'registerClient') },
      {
        put: (call: { request: PutRequest }, callback: (error: null, response: object) => void) => {
          seen.push(call.request);
          callback(null, { revision: 7 });
        },
        registerClient: (_call: object, callback: (error: null, response: object) => void) =>
          callback(null, { clientId: 5 }),
      },
    );
    const port = await bind(server, serverCredentials(rig.authority, rig.serverPem));
    const store = rig.client([`127.0.0.1:${port}`]);
    expect(await Promise.all([store.put('a', '1'), store.put('b', '2')])).toEqual([
      { revision: 7, previous: null },
      { revision: 7, previous: null },
    ]);
    expect(seen.map((request) => request.request?.number)).toEqual([1, 2]);
    server.forceShutdown();
  });
});

function bind(server: Server, credentials: ReturnType<typeof serverCredentials>): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port)));
  });
}
