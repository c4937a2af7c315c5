import type { PeerCertificate, TLSSocket } from 'node:tls';
import { LIMITS } from '../base/limits.ts';

interface Unheard {
  readonly socket: TLSSocket;
  readonly timer: NodeJS.Timeout;
}

/**
 * Connections without a verified certificate on which nobody has shown an access token yet: few, and each for a short time,
 * so that strangers take no room from clients.
 */
export class Unproved {
  readonly #withinMs: number;
  /** By remote address and port, the oldest first. */
  readonly #connections = new Map<string, Unheard>();

  constructor({ withinMs = LIMITS.apiProofWithinMs }: { readonly withinMs?: number | undefined } = {}) {
    this.#withinMs = withinMs;
  }

  get count(): number {
    return this.#connections.size;
  }

  opened(socket: TLSSocket): void {
    // A socket that is closed already has no certificate object at all.
    const shown = socket.getPeerCertificate() as PeerCertificate | null;
    if (socket.authorized && shown?.raw !== undefined) return;
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    const timer = setTimeout(() => socket.destroy(), this.#withinMs);
    timer.unref();
    this.#connections.set(peer, { socket, timer });
    socket.once('close', () => this.#forget(peer, socket));
    const [oldest] = this.#connections;
    if (oldest === undefined || this.#connections.size <= LIMITS.apiUnprovedMax) return;
    const [itsPeer, unheard] = oldest;
    this.#forget(itsPeer, unheard.socket);
    unheard.socket.destroy();
  }

  /** Somebody who comes from there has shown who he is. `peer`: remote address and port, as gRPC names it. */
  proved(peer: string): void {
    const unheard = this.#connections.get(peer);
    if (unheard !== undefined) this.#forget(peer, unheard.socket);
  }

  #forget(peer: string, socket: TLSSocket): void {
    const unheard = this.#connections.get(peer);
    if (unheard?.socket !== socket) return;
    clearTimeout(unheard.timer);
    this.#connections.delete(peer);
  }
}
