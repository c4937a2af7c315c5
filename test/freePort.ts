import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports that the system gives to connections that go out (net.ipv4.ip_local_port_range). */
const FIRST = 10_000;
const COUNT = 22_000;
/** How far two processes begin from each other: they are started with ids that follow each other. */
const PORTS_PER_PROCESS = 64;

let next = (process.pid * PORTS_PER_PROCESS) % COUNT;

/**
 * A port that nobody listens on now, that nobody is given again here, and that no connection takes before its server
 * listens: a port that the system chooses is free at once for whoever asks next.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < COUNT; attempt += 1) {
    const port = FIRST + next;
    next = (next + 1) % COUNT;
    if (await isFree(port)) return port;
  }
  throw new Error(`all of ${COUNT} ports are in use`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return false;
    throw error;
  } finally {
    server.close();
  }
}
