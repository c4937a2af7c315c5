import type { Server } from '@grpc/grpc-js';

/*
 * grpc-js 1.14 reads `grpc-node.flow_control_window` in its client only: what a server receives stays limited to
 * 64 KiB in each round trip. Until it has the option, the window is set where the option would set it. To be deleted
 * then; the test of this file says when the places below have moved.
 */
interface ServerInternals {
  commonServerOptions?: { settings?: Record<string, unknown> };
  http2Servers?: Map<Http2Events, unknown>;
}

interface Http2Events {
  on(
    event: 'session',
    listener: (session: { setLocalWindowSize?: (bytes: number) => void }) => void,
  ): unknown;
}

/** Sets each stream's window. Before a listener or injector is made. False: this grpc-js is built otherwise. */
export function widenStreamWindow(server: Server, windowBytes: number): boolean {
  const options = (server as unknown as ServerInternals).commonServerOptions;
  if (options === undefined || typeof options !== 'object') return false;
  options.settings = { ...options.settings, initialWindowSize: windowBytes };
  return true;
}

/** Sets each connection's window. After a listener or injector is made, before the first connection. */
export function widenSessionWindow(server: Server, windowBytes: number): boolean {
  const servers = (server as unknown as ServerInternals).http2Servers;
  if (!(servers instanceof Map) || servers.size === 0) return false;
  for (const http2Server of servers.keys()) {
    http2Server.on('session', (session) => session.setLocalWindowSize?.(windowBytes));
  }
  return true;
}
