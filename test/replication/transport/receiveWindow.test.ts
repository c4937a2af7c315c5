import { connect } from 'node:http2';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { PEER_CHANNEL_OPTIONS } from '../../../src/replication/transport/channelOptions.ts';
import { widenSessionWindow, widenStreamWindow } from '../../../src/replication/transport/receiveWindow.ts';

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.forceShutdown();
});

/** The stream window that a server announces. */
async function announcedWindow(server: Server): Promise<number | undefined> {
  servers.push(server);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  widenSessionWindow(server, 4 * 1024 * 1024);
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => undefined);
  const settings = await new Promise<{ initialWindowSize?: number | undefined }>((resolve) =>
    session.once('remoteSettings', resolve),
  );
  session.destroy();
  return settings.initialWindowSize;
}

test('the places that are patched are where they were', () => {
  const server = new Server(PEER_CHANNEL_OPTIONS);
  servers.push(server);
  expect(widenStreamWindow(server, 1)).toBe(true);
  expect(widenSessionWindow(server, 1)).toBe(false);
  server.createConnectionInjector(ServerCredentials.createInsecure());
  expect(widenSessionWindow(server, 1)).toBe(true);
});

test('a server announces the wider window, and would not without the patch', async () => {
  const patched = new Server(PEER_CHANNEL_OPTIONS);
  widenStreamWindow(patched, 4 * 1024 * 1024);
  expect(await announcedWindow(patched)).toBe(4 * 1024 * 1024);
  // When this fails, grpc-js has learnt the option: delete the patch.
  expect(await announcedWindow(new Server(PEER_CHANNEL_OPTIONS))).toBe(65_535);
});
