import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Gets alerts, and answers with these statuses in turn, then with 200; `0` hangs up. */
export class WebhookReceiver {
  readonly received: Received[] = [];
  readonly #server: Server;

  constructor(statuses: readonly number[]) {
    const left = [...statuses];
    this.#server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => {
        body += chunk.toString('utf8');
      });
      request.on('end', () => {
        this.received.push({ headers: request.headers, body });
        const status = left.shift() ?? 200;
        if (status === 0) request.socket.destroy();
        else response.writeHead(status, { location: '/elsewhere' }).end('thanks');
      });
    });
  }

  /** Where it listens. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

export const sequencesOf = (received: readonly Received[]): readonly number[] =>
  received.map(({ body }) => (JSON.parse(body) as { alert: { sequence: number } }).alert.sequence);
