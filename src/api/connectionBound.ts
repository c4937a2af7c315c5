import type { Server } from '@grpc/grpc-js';

/*
 * grpc-js 1.14 has no option for how many connections a server takes: whoever reaches the port, with a certificate or
 * without, could use up all file descriptors, and then the log and the state cannot be written. Until it has one, the
 * bound is set on the listeners that it keeps. The test of this file says when they have moved.
 */
interface ServerInternals {
  http2Servers?: Map<{ maxConnections?: number }, unknown>;
}

/** Connections beyond this are closed at once. After the server listens. False: this grpc-js is built otherwise. */
export function boundConnections(server: Server, most: number): boolean {
  const listeners = (server as unknown as ServerInternals).http2Servers;
  if (!(listeners instanceof Map) || listeners.size === 0) return false;
  for (const listener of listeners.keys()) listener.maxConnections = most;
  return true;
}
