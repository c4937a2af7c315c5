import { ApiServer } from '../../src/api/apiServer.ts';
import { type ConnectOptions, HoldfastClient } from '../../src/client/client.ts';
import { identify, type Pem, serverCredentials, TestAuthority } from './certificates.ts';
import { FakeNode } from './fakeNode.ts';
import { FakeState } from './fakeState.ts';

export interface RunningNode {
  readonly node: FakeNode;
  readonly server: ApiServer;
  readonly endpoint: string;
  readonly port: number;
}

/** Fake nodes behind real API servers on loopback, and clients of them. */
export class Rig {
  readonly authority: TestAuthority;
  readonly clientPem: Pem;
  readonly serverPem: Pem;
  readonly state = new FakeState();
  readonly #servers = new Set<ApiServer>();
  readonly #clients = new Set<HoldfastClient>();

  private constructor(parts: { authority: TestAuthority; clientPem: Pem; serverPem: Pem }) {
    this.authority = parts.authority;
    this.clientPem = parts.clientPem;
    this.serverPem = parts.serverPem;
  }

  static async create(): Promise<Rig> {
    const authority = await TestAuthority.create();
    return new Rig({
      authority,
      clientPem: await authority.client('alice'),
      serverPem: await authority.server(),
    });
  }

  async start(
    options: {
      port?: number;
      node?: FakeNode;
      connectionsMax?: number;
      handshakeWithinMs?: number;
      proofWithinMs?: number;
    } = {},
  ): Promise<RunningNode> {
    const node = options.node ?? new FakeNode(this.state);
    const credentials = serverCredentials(this.authority, this.serverPem);
    const server = new ApiServer({
      kv: node,
      cluster: node,
      access: node.access,
      audit: node.audit,
      identify,
      credentials,
      handshakeWithinMs: options.handshakeWithinMs,
      proofWithinMs: options.proofWithinMs,
      ...(options.connectionsMax === undefined ? {} : { connectionsMax: options.connectionsMax }),
    });
    this.#servers.add(server);
    const port = await server.listen({ host: '127.0.0.1', port: options.port ?? 0 });
    server.setReady(true);
    return { node, server, port, endpoint: `127.0.0.1:${port}` };
  }

  async stop(server: ApiServer, graceMs = 0): Promise<void> {
    this.#servers.delete(server);
    await server.stop({ graceMs });
  }

  client(endpoints: readonly string[], options: Partial<ConnectOptions> = {}): HoldfastClient {
    const client = new HoldfastClient({
      endpoints,
      ca: this.authority.pem,
      certificate: this.clientPem.certificate,
      privateKey: this.clientPem.privateKey,
      ...options,
    });
    this.#clients.add(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.close();
    for (const server of this.#servers) await server.stop({ graceMs: 0 });
  }
}
