import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connectivityState, Server } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { boundConnections } from '../../src/api/connectionBound.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { rawClient } from './rawClient.ts';
import { Rig } from './rig.ts';
import { until } from './until.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.create();
});
afterEach(() => rig.close());

const nothing = (): void => undefined;

function open(port: number): { socket: Socket; closed: () => boolean } {
  const socket = connect(port, '127.0.0.1');
  let isClosed = false;
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isClosed = true;
  });
  return { socket, closed: () => isClosed };
}

describe('the API port', () => {
  it('takes so many connections, also of those who say nothing, and again when one is gone', async () => {
    const { port, endpoint } = await rig.start({ connectionsMax: 2 });
    const strangers = [open(port), open(port), open(port)];
    const closed = () => strangers.filter((stranger) => stranger.closed()).length;
    await until(() => closed() === 1, 'one to be turned away');
    for (const { socket } of strangers) socket.destroy();
    await until(() => closed() === 3, 'all to be gone');
    const client = rig.client([endpoint]);
    expect((await client.put('k', 'v')).revision).toBeGreaterThan(0);
  });

  it('closes the oldest of too many connections that have not finished their handshake, and no client', async () => {
    const { port, endpoint } = await rig.start();
    const client = rig.client([endpoint]);
    await client.put('k', 'before');
    const strangers: ReturnType<typeof open>[] = [];
    for (let count = 0; count < LIMITS.apiHandshakesMax + 2; count += 1) {
      const stranger = open(port);
      await once(stranger.socket, 'connect');
      strangers.push(stranger);
    }
    const closed = () => strangers.filter((stranger) => stranger.closed());
    await until(() => closed().length === 2, 'the oldest to be gone');
    expect(closed()).toEqual(strangers.slice(0, 2));
    await client.put('k', 'after');
    const another = rig.client([endpoint]);
    expect((await another.put('k', 'v')).revision).toBeGreaterThan(0);
    await until(() => closed().length > 2, 'room to be made for the other client');
    for (const { socket } of strangers) socket.destroy();
  });

  it('closes a connection that does not finish its handshake, and no other', async () => {
    const { port, endpoint } = await rig.start({ handshakeWithinMs: 300 });
    const client = rig.client([endpoint]);
    await client.put('k', 'before');
    const other = rawClient(endpoint, rig.authority, rig.clientPem).getChannel();
    other.getConnectivityState(true);
    await until(() => other.getConnectivityState(false) === connectivityState.READY, 'to be connected');
    const stranger = open(port);
    await until(() => stranger.closed(), 'the stranger to be gone');
    expect(other.getConnectivityState(false)).toBe(connectivityState.READY);
    other.close();
  });

  it('closes a connection on which nobody shows who he is, and no other', async () => {
    const { endpoint, node } = await rig.start({ proofWithinMs: 300 });
    node.access.tokens.set('hft_1', '1');
    const rawClients = {
      stranger: rawClient(endpoint, rig.authority, null),
      certified: rawClient(endpoint, rig.authority, rig.clientPem),
    };
    const withToken = rig.client([endpoint], {
      certificate: undefined,
      privateKey: undefined,
      token: 'hft_1',
    });
    await withToken.access.whoAmI();
    const channels = Object.values(rawClients).map((client) => client.getChannel());
    for (const channel of channels) channel.getConnectivityState(true);
    const states = () => channels.map((channel) => channel.getConnectivityState(false));
    const { READY, IDLE } = connectivityState;
    await until(() => states().every((state) => state === READY), 'both to be connected');
    await until(() => states()[0] === IDLE, 'the stranger to be gone');
    expect(states()[1]).toBe(READY);
    await withToken.access.whoAmI();
    for (const client of Object.values(rawClients)) client.close();
  });

  it('is bounded only when it listens', () => {
    expect(boundConnections(new Server(), { most: 1, onBegun: nothing, onOpened: nothing })).toBe(false);
  });
});
