import net, { type AddressInfo } from 'node:net';
import tls from 'node:tls';
import type { TlsMaterial } from '../../src/trust/tls.ts';

export interface TestServer {
  readonly address: string;
  close(): Promise<void>;
}

/** A bare TLS server that presents `material.cert` and says nothing. */
export function silentTlsServer(material: TlsMaterial, options: tls.TlsOptions = {}): Promise<TestServer> {
  const server = tls.createServer({ cert: material.cert, key: material.key, ...options });
  server.on('tlsClientError', () => undefined);
  return listening(server);
}

/** Takes TCP connections and never says a word. */
export function silentTcpServer(): Promise<TestServer> {
  return listening(net.createServer());
}

async function listening(server: net.Server): Promise<TestServer> {
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** An address at which nobody listens. */
export async function deadAddress(): Promise<string> {
  const server = await listening(net.createServer());
  await server.close();
  return server.address;
}
