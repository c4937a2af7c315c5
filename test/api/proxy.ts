import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** A TCP hop on loopback whose connections can be cut at any moment, as a network does: nobody says goodbye. */
export class CuttableHop {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(targetPort: number) {
    this.#server = createServer((inward) => {
      const outward = connect(targetPort, '127.0.0.1');
      for (const [from, to] of [
        [inward, outward],
        [outward, inward],
      ] as const) {
        this.#sockets.add(from);
        from.pipe(to);
        from.on('error', () => undefined);
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
      }
    });
  }

  static async open(targetPort: number): Promise<CuttableHop> {
    const hop = new CuttableHop(targetPort);
    await new Promise<void>((resolve) => hop.#server.listen(0, '127.0.0.1', resolve));
    return hop;
  }

  get endpoint(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts every connection; new ones are taken. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.#server.close();
    this.cut();
  }
}
