import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Server } from '@grpc/grpc-js';

/*
 * grpc-js 1.14 has no option for how many connections a server takes, and tells of none that opens: whoever reaches the
 * port, with a certificate or without, could use up all file descriptors, and then the log and the state cannot be
 * written. Until it has one, the bound is set on the listeners that it keeps. The test of this file says when they have moved.
 */
interface ServerInternals {
  http2Servers?: Map<Listener, unknown>;
}

interface Listener {
  maxConnections?: number;
  on(event: 'connection', begun: (socket: Socket) => void): unknown;
  on(event: 'secureConnection', opened: (socket: TLSSocket) => void): unknown;
}

export interface ConnectionBound {
  readonly most: number;
  readonly onBegun: (socket: Socket) => void;
  readonly onOpened: (socket: TLSSocket) => void;
}

/**
 * Connections beyond `most` are closed at once; of the others each is told of when it begins its handshake, and once it has
 * finished it. After the server listens. False: this grpc-js is built otherwise.
 */
export function boundConnections(server: Server, { most, onBegun, onOpened }: ConnectionBound): boolean {
  const listeners = (server as unknown as ServerInternals).http2Servers;
  if (!(listeners instanceof Map) || listeners.size === 0) return false;
  for (const listener of listeners.keys()) {
    listener.maxConnections = most;
    listener.on('connection', onBegun);
    listener.on('secureConnection', onOpened);
  }
  return true;
}
