import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../test/freePort.ts';

/** Passes TCP on to one address and keeps every byte of both directions, for tests that search the traffic. */
export class RecordingProxy {
  readonly address: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #recorded: Buffer[] = [];

  private constructor(address: string, server: Server) {
    this.address = address;
    this.#server = server;
  }

  static async listen(target: { readonly host: string; readonly port: number }): Promise<RecordingProxy> {
    const port = await freePort();
    const server = createServer();
    const proxy = new RecordingProxy(`127.0.0.1:${port}`, server);
    server.on('connection', (socket) => proxy.#pass(socket, connect(target)));
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  /** Everything that went through, in the order in which it was seen. */
  get recorded(): Buffer {
    return Buffer.concat(this.#recorded);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #pass(near: Socket, far: Socket): void {
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on('data', (chunk) => {
        this.#recorded.push(chunk);
        to.write(chunk);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}
