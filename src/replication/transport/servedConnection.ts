import type { TLSSocket } from 'node:tls';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { LIMITS } from '../../base/limits.ts';
import type { GrpcService } from './peerServer.ts';
import { widenSessionWindow } from './receiveWindow.ts';

export interface ServedConnectionOptions {
  readonly socket: TLSSocket;
  readonly server: Server;
  readonly service: GrpcService;
  /** How long it may go unheard at first; then it is closed. */
  readonly firstWordMs: number;
  readonly onSilent: () => void;
  /** The socket is closed, by this node or not. */
  readonly onClosed: (from: 'here' | 'there') => void;
}

/** One connection by a gRPC server of its own, until either is closed. */
export class ServedConnection {
  readonly #socket: TLSSocket;
  readonly #server: Server;
  readonly #drain: () => void;
  readonly #silence: NodeJS.Timeout;
  #goodbye: NodeJS.Timeout | null = null;
  /** This node closes it, however the other one takes that. */
  #isEnding = false;

  constructor({ socket, server, service, firstWordMs, onSilent, onClosed }: ServedConnectionOptions) {
    this.#socket = socket;
    this.#server = server;
    this.#silence = setTimeout(() => {
      onSilent();
      this.cut();
    }, firstWordMs);
    server.addService(service.definition, service.handlers);
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    widenSessionWindow(server, LIMITS.peerWindowBytes);
    this.#drain = () => injector.drain(LIMITS.peerGoodbyeMs);
    socket.once('close', () => {
      this.#forget();
      onClosed(this.#isEnding ? 'here' : 'there');
    });
    injector.injectConnection(socket);
  }

  /** Somebody is there who is listened to: from now on it may be silent. */
  heard(): void {
    clearTimeout(this.#silence);
  }

  /** Takes nothing new, and closes it when what is being answered has been sent, or soon. */
  end(): void {
    if (this.#goodbye !== null) return;
    this.#isEnding = true;
    // The other side need not take it, nor close its half.
    this.#goodbye = setTimeout(() => this.cut(), LIMITS.peerGoodbyeMs);
    this.#drain();
  }

  cut(): void {
    this.#isEnding = true;
    this.#server.forceShutdown();
    this.#socket.destroy();
  }

  #forget(): void {
    clearTimeout(this.#silence);
    if (this.#goodbye !== null) clearTimeout(this.#goodbye);
    this.#server.forceShutdown();
  }
}
