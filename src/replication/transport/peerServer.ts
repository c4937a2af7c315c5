import { constants } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type SecureContextOptions, type TLSSocket, type Server as TlsServer } from 'node:tls';
import { Server, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { assert } from '../../base/assert.ts';
import { HoldfastError, systemErrorCode } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import { peerServerOptions, STRANGER_SERVER_OPTIONS } from './channelOptions.ts';
import { type NodeLink, NodeLinks } from './nodeLinks.ts';
import { widenStreamWindow } from './receiveWindow.ts';
import type { PortRefusal, Refusals } from './refusals.ts';
import { ServedConnection } from './servedConnection.ts';
import type { IdentifyNode, PeerConnection, PeerCredentials } from './types.ts';

export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly handlers: UntypedServiceImplementation;
  /** The connection that it was made for has ended, closed by this node or by the other one. */
  readonly closed?: (from: 'here' | 'there') => void;
}

/** What the service of a connection tells the port. */
export interface PortOfConnection {
  /** A call was let in: from now on the connection may be silent. */
  readonly heard: () => void;
  /** A call was refused, as every later one would be: the connection ends behind the answer. */
  readonly end: () => void;
}

export interface NodeService extends GrpcService {
  /** Why nothing is heard on the connection now, or null. */
  readonly refusal: () => PortRefusal | null;
}

/** `ownCertificate`: DER, as this node has shown it on the connection. */
export type StrangerServiceFor = (connection: { readonly ownCertificate: Uint8Array }) => GrpcService;

export interface PeerServerOptions {
  readonly host: string;
  readonly port: number;
  readonly credentials: PeerCredentials;
  readonly identify: IdentifyNode;
  /** The service for one connection of a node; made anew for each. */
  readonly serviceFor: (connection: PeerConnection, port: PortOfConnection) => NodeService;
  /** A connection that has not finished its handshake by then, or on which nothing is heard so long after it, is closed. */
  readonly firstWordMs: number;
  /** What a connection without a node's certificate reaches; made anew for each connection. */
  readonly strangerServiceFor: StrangerServiceFor;
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
  readonly #served = new Set<ServedConnection>();
  /** Connections that have not finished their handshake, the oldest first, by remote address and port. */
  readonly #handshaking = new Map<string, Socket>();
  /** Whose chain was verified in the handshake. */
  readonly #nodes: NodeLinks;
  #roots: Buffer;
  #strangerCount = 0;

  private constructor(options: PeerServerOptions) {
    this.#options = options;
    this.#nodes = new NodeLinks(options);
    this.#roots = options.credentials.authorityCertificate;
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

  /**
   * New handshakes use the renewed certificate; connections that stand go on. When the roots are others than before, those
   * end whose certificate names no node any more.
   */
  renew(credentials: PeerCredentials): void {
    this.#listener.setSecureContext(secureContextOptions(credentials));
    const roots = credentials.authorityCertificate;
    if (roots.equals(this.#roots)) return;
    this.#roots = roots;
    this.#nodes.identifyAnew();
  }

  /** Ends what is heard no more, though nothing is said on it; called about once a second. */
  judge(wallMs: number): void {
    this.#nodes.judge(wallMs);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#listener.close(() => resolve()));
    for (const served of this.#served) served.cut();
    for (const socket of this.#handshaking.values()) socket.destroy();
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
    const connection = this.#verifiedConnection(socket);
    if (connection === null && socket.getPeerCertificate().raw !== undefined) {
      this.#options.refusals.count('foreignCertificate', { address: socket.remoteAddress });
    }
    if (connection === null) this.#acceptStranger(socket);
    else this.#acceptNode(socket, connection);
  }

  /** Null unless the chain was verified: the certificate of any other connection is only a claim. */
  #verifiedConnection(socket: TLSSocket): PeerConnection | null {
    if (!socket.authorized) return null;
    const { raw: peerCertificate } = socket.getPeerCertificate();
    const peerId = peerCertificate === undefined ? null : this.#options.identify(peerCertificate);
    return peerId === null ? null : { peerId, ownCertificate: ownCertificateOf(socket), peerCertificate };
  }

  #acceptNode(socket: TLSSocket, connection: PeerConnection): void {
    const service = this.#options.serviceFor(connection, {
      heard: () => {
        served.heard();
        this.#nodes.heard(link);
      },
      end: () => served.end(),
    });
    const server = new Server(peerServerOptions(() => service.refusal() === null));
    widenStreamWindow(server, LIMITS.peerWindowBytes);
    const { peerId } = connection;
    const served = this.#serve(socket, { server, service, peer: { peerId } });
    const link: NodeLink = {
      connection,
      refusal: service.refusal,
      end: () => served.end(),
      cut: () => served.cut(),
    };
    this.#nodes.add(link);
    socket.once('close', () => this.#nodes.delete(link));
  }

  #serve(socket: TLSSocket, { server, service, peer }: Serving): ServedConnection {
    const { refusals, firstWordMs } = this.#options;
    const served = new ServedConnection({
      socket,
      server,
      service,
      firstWordMs,
      onSilent: () => refusals.count('silentConnection', peer),
      onClosed: (from) => {
        this.#served.delete(served);
        service.closed?.(from);
      },
    });
    this.#served.add(served);
    return served;
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
    const { definition, handlers } = this.#options.strangerServiceFor({
      ownCertificate: ownCertificateOf(socket),
    });
    // Whoever asks to join has its lifetime for it.
    const service = { definition, handlers: toldOfCalls(handlers, () => served.heard()) };
    const served = this.#serve(socket, { server, service, peer: { address: socket.remoteAddress } });
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

/** Not the one that is configured now: a renewal may have come between. */
function ownCertificateOf(socket: TLSSocket): Buffer {
  const shown = socket.getCertificate();
  assert(shown !== null && 'raw' in shown, 'a server has shown a certificate');
  return shown.raw as Buffer;
}

function remoteEnd({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}
