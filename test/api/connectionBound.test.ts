import { connect, type Socket } from 'node:net';
import { Server } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { boundConnections } from '../../src/api/connectionBound.ts';
import { Rig } from './rig.ts';
import { until } from './until.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await Rig.create();
});
afterEach(() => rig.close());

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

  it('is bounded only when it listens', () => {
    expect(boundConnections(new Server(), 1)).toBe(false);
  });
});
