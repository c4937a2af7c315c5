import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type Ends, Pipe } from './pipe.ts';
import { ApiError, type Toxic } from './toxics.ts';

export interface ProxyBody {
  readonly name: string;
  readonly listen: string;
  readonly upstream: string;
  readonly enabled: boolean;
}

interface Connection extends Ends {
  readonly pipes: readonly Pipe[];
  /** Which toxics, by name, are for this connection: decided once, by their toxicity. */
  readonly chosen: Map<string, boolean>;
}

const CONNECTIONS_MAX = 1_024;

/** One listening address and where its connections go on to. */
export class FaultProxy {
  readonly name: string;
  #listen: string;
  #upstream: string;
  #server: Server | null = null;
  #toxics: readonly Toxic[] = [];
  readonly #connections = new Set<Connection>();
  readonly #random: () => number;

  constructor(body: ProxyBody, random: () => number) {
    this.name = body.name;
    this.#listen = body.listen;
    this.#upstream = body.upstream;
    this.#random = random;
  }

  toJson(): ProxyBody & { readonly toxics: readonly Toxic[] } {
    return {
      name: this.name,
      listen: this.#listen,
      upstream: this.#upstream,
      enabled: this.#server !== null,
      toxics: this.#toxics,
    };
  }

  get toxics(): readonly Toxic[] {
    return this.#toxics;
  }

  /** Takes new addresses, and begins or stops to listen. A change of address ends the connections, as `enabled: false` does. */
  async update(body: Partial<ProxyBody>): Promise<void> {
    const { listen = this.#listen, upstream = this.#upstream, enabled = this.#server !== null } = body;
    const moved = listen !== this.#listen || upstream !== this.#upstream;
    if (this.#server !== null && (moved || !enabled)) await this.stop();
    this.#listen = listen;
    this.#upstream = upstream;
    if (enabled && this.#server === null) await this.start();
  }

  async start(): Promise<void> {
    const { host, port } = addressOf(this.#listen);
    const server = createServer({ allowHalfOpen: true }, (near) => this.#pass(near));
    server.maxConnections = CONNECTIONS_MAX;
    server.listen(port, host);
    try {
      await once(server, 'listening');
    } catch (thrown) {
      throw new ApiError(500, `cannot listen on ${this.#listen}: ${String(thrown)}`);
    }
    const address = server.address();
    if (address !== null && typeof address !== 'string') this.#listen = `${host}:${address.port}`;
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const closed = once(server, 'close');
    server.close();
    for (const connection of this.#connections) connection.close();
    await closed;
  }

  setToxics(toxics: readonly Toxic[]): void {
    this.#toxics = toxics;
    for (const connection of this.#connections) this.#apply(connection);
  }

  #pass(near: Socket): void {
    const far = connect({ ...addressOf(this.#upstream), allowHalfOpen: true, noDelay: true });
    near.setNoDelay(true);
    const ends: Ends = {
      close: () => this.#end(connection, () => [near, far].map((socket) => socket.destroy())),
      reset: () => this.#end(connection, () => [near, far].map((socket) => socket.resetAndDestroy())),
    };
    const random = this.#random;
    const connection: Connection = {
      ...ends,
      chosen: new Map(),
      pipes: [
        new Pipe({ stream: 'upstream', from: near, to: far, ends, random }),
        new Pipe({ stream: 'downstream', from: far, to: near, ends, random }),
      ],
    };
    this.#connections.add(connection);
    for (const socket of [near, far]) {
      // A reset of one side is a reset of the other: the proxy hides nothing.
      socket.on('error', () => ends.reset());
      socket.on('close', () => {
        if (near.destroyed && far.destroyed) ends.close();
      });
    }
    this.#apply(connection);
  }

  #end(connection: Connection, end: () => void): void {
    if (!this.#connections.delete(connection)) return;
    for (const pipe of connection.pipes) pipe.stop();
    end();
  }

  #apply(connection: Connection): void {
    for (const toxic of this.#toxics) {
      if (!connection.chosen.has(toxic.name))
        connection.chosen.set(toxic.name, this.#random() < toxic.toxicity);
    }
    for (const name of connection.chosen.keys()) {
      if (!this.#toxics.some((toxic) => toxic.name === name)) connection.chosen.delete(name);
    }
    for (const pipe of connection.pipes) {
      pipe.use(
        this.#toxics.filter(
          (toxic) => toxic.stream === pipe.stream && connection.chosen.get(toxic.name) === true,
        ),
      );
    }
  }
}

/** @throws ApiError 400 */
export function addressOf(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]*)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new ApiError(400, `${text} is not host:port`);
  return { host: match[1] ?? (match[2] === '' ? '0.0.0.0' : (match[2] ?? '')), port };
}
