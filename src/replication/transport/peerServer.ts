import { constants } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type SecureContextOptions, type TLSSocket, type Server as TlsServer } from 'node:tls';
import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { HoldfastError, systemErrorCode } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import { PEER_SERVER_OPTIONS, STRANGER_SERVER_OPTIONS } from './channelOptions.ts';
import { widenSessionWindow, widenStreamWindow } from './receiveWindow.ts';
import type { Refusals } from './refusals.ts';
import type { IdentifyNode, PeerCredentials } from './types.ts';

export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly handlers: UntypedServiceImplementation;
}

export interface PeerServerOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: PeerCredentials;
  readonly identify: IdentifyNode;
  /** The service for one connection whose certificate names `nodeId`; made anew for each connection. */
  readonly serviceFor: (nodeId: NodeId) => GrpcService;
  /** A connection that has not finished its handshake by then, or has not begun a call so long after it, is closed. */
  readonly firstWordMs: number;
  /** What a connection without a node's certificate reaches. */
  readonly strangerService: GrpcService;
  readonly refusals: Refusals;
}

/**
 * The peer port. TLS 1.3 only; asks for a client certificate and sorts connections by it:
 * - a certificate from the cluster's authority that names a node: a gRPC server of this connection's own, whose
 *   handlers are bound to that identity. No table of addresses stands between the proof and the handler.
 * - anything else: the stranger service alone (Join), few connections, small messages, a short life.
 * No session tickets: a resumed session would carry a verdict on a certificate from an earlier day.
 */
export class PeerServer {
  readonly #options: PeerServerOptions;
  readonly #listener: TlsServer;
  readonly #sockets = new Set<TLSSocket>();
  readonly #servers = new Set<Server>();
  /** Connections that have not finished their handshake, the oldest first, by remote address and port. */
  readonly #handshaking = new Map<string, Socket>();
  #strangerCount = 0;

  private constructor(options: PeerServerOptions) {
    this.#options = options;
    this.#listener = createServer({
      ...secureContextOptions(options.credentials),
      ALPNProtocols: ['h2'],
      requestCert: true,
      // A joining node has no certificate yet; `#accept` lets it reach nothing but Join.
      rejectUnauthorized: false,
      handshakeTimeout: options.firstWordMs,
    });
    this.#listener.maxConnections = LIMITS.peerConnectionsMax;
    this.#listener.on('connection', (socket) => this.#boundHandshakes(socket));
    this.#listener.on('secureConnection', (socket) => this.#accept(socket));
    this.#listener.on('tlsClientError', (error, socket) => {
      options.refusals.count('handshake', { address: socket.remoteAddress, error: error.message });
      // Node.js only reports a handshake that takes too long; the connection would stay.
      socket.destroy();
    });
    this.#listener.on('drop', (dropped) => {
      options.refusals.count('connectionsFull', { address: dropped?.remoteAddress });
    });
  }

  /** @throws HoldfastError PORT_IN_USE, UNAVAILABLE */
  static async listen(options: PeerServerOptions): Promise<PeerServer> {
    const server = new PeerServer(options);
    await new Promise<void>((resolve, reject) => {
      server.#listener.once('error', (error) => reject(listenError(error, options)));
      server.#listener.listen({ host: options.host, port: options.port }, resolve);
    });
    server.#listener.removeAllListeners('error');
    server.#listener.on('error', (error) => options.refusals.count('handshake', { error: error.message }));
    return server;
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** New handshakes use the renewed certificate; connections that stand go on. */
  renew(credentials: PeerCredentials): void {
    this.#listener.setSecureContext(secureContextOptions(credentials));
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#listener.close(() => resolve()));
    for (const server of this.#servers) server.forceShutdown();
    for (const socket of [...this.#sockets, ...this.#handshaking.values()]) socket.destroy();
    await closed;
  }

  /** Sockets that open and then say nothing must not keep members out: the oldest of too many goes. */
  #boundHandshakes(socket: Socket): void {
    const end = remoteEnd(socket);
    this.#handshaking.set(end, socket);
    socket.once('close', () => this.#handshaking.delete(end));
    const oldest = this.#handshaking.values().next().value;
    if (this.#handshaking.size <= LIMITS.peerHandshakesMax || oldest === undefined) return;
    this.#options.refusals.count('connectionsFull', { address: oldest.remoteAddress });
    oldest.destroy();
  }

  #accept(socket: TLSSocket): void {
    this.#handshaking.delete(remoteEnd(socket));
    // A reset between handshake and HTTP/2 must not become an uncaught error.
    socket.on('error', () => undefined);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const nodeId = this.#verifiedNode(socket);
    if (nodeId === null && socket.getPeerCertificate().raw !== undefined) {
      this.#options.refusals.count('foreignCertificate', { address: socket.remoteAddress });
    }
    if (nodeId === null) this.#acceptStranger(socket);
    else this.#acceptNode(socket, nodeId);
  }

  /** Null unless the chain was verified: the certificate of any other connection is only a claim. */
  #verifiedNode(socket: TLSSocket): NodeId | null {
    if (!socket.authorized) return null;
    const certificate = socket.getPeerCertificate();
    return certificate.raw === undefined ? null : this.#options.identify(certificate.raw);
  }

  #acceptNode(socket: TLSSocket, nodeId: NodeId): void {
    const server = new Server(PEER_SERVER_OPTIONS);
    widenStreamWindow(server, LIMITS.peerWindowBytes);
    this.#serve(socket, { server, service: this.#options.serviceFor(nodeId), peer: { peerId: nodeId } });
  }

  /** One connection by a server of its own, until either is closed. */
  #serve(socket: TLSSocket, { server, service, peer }: Serving): void {
    const { refusals, firstWordMs } = this.#options;
    const silence = setTimeout(() => {
      refusals.count('silentConnection', peer);
      socket.destroy();
    }, firstWordMs);
    server.addService(
      service.definition,
      toldOfCalls(service.handlers, () => clearTimeout(silence)),
    );
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    widenSessionWindow(server, LIMITS.peerWindowBytes);
    this.#servers.add(server);
    socket.once('close', () => {
      clearTimeout(silence);
      this.#servers.delete(server);
      server.forceShutdown();
    });
    injector.injectConnection(socket);
  }

  #acceptStranger(socket: TLSSocket): void {
    if (this.#strangerCount >= LIMITS.strangerConnectionsMax) {
      this.#options.refusals.count('strangersFull', { address: socket.remoteAddress });
      socket.destroy();
      return;
    }
    this.#strangerCount += 1;
    const lifetime = setTimeout(() => socket.destroy(), LIMITS.strangerConnectionAgeMs);
    socket.once('close', () => {
      this.#strangerCount -= 1;
      clearTimeout(lifetime);
    });
    const server = new Server(STRANGER_SERVER_OPTIONS);
    const { strangerService: service } = this.#options;
    this.#serve(socket, { server, service, peer: { address: socket.remoteAddress } });
  }
}

interface Serving {
  readonly server: Server;
  readonly service: GrpcService;
  /** Whom to name when it is refused. */
  readonly peer: { readonly peerId?: NodeId; readonly address?: string | undefined };
}

/** The same handlers, with `onCall` called before each. */
function toldOfCalls(
  handlers: UntypedServiceImplementation,
  onCall: () => void,
): UntypedServiceImplementation {
  const told: UntypedServiceImplementation = {};
  for (const [name, handler] of Object.entries(handlers)) {
    const handle = handler as (...parts: readonly unknown[]) => unknown;
    told[name] = (...parts: readonly unknown[]) => {
      onCall();
      return handle(...parts);
    };
  }
  return told;
}

function secureContextOptions(credentials: PeerCredentials): SecureContextOptions {
  return {
    cert: credentials.certificate,
    key: credentials.privateKey,
    ca: credentials.authorityCertificate,
    minVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

function listenError(error: Error, { host, port }: PeerServerOptions): HoldfastError {
  if (systemErrorCode(error) === 'EADDRINUSE') {
    return new HoldfastError('PORT_IN_USE', `the peer address ${host}:${port} is taken`, { cause: error });
  }
  return new HoldfastError('UNAVAILABLE', `cannot listen on ${host}:${port}: ${error.message}`, {
    cause: error,
  });
}

function remoteEnd({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}
