import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { LIMITS } from '../base/limits.ts';

interface Begun {
  readonly socket: Socket;
  readonly timer: NodeJS.Timeout;
}

/**
 * Connections that have not finished their TLS handshake: few, and each for a short time, so that whoever opens them and says
 * nothing takes no room from clients. When there is one too many the oldest goes: clients are done with theirs soonest.
 */
export class Handshakes {
  readonly #withinMs: number;
  /** By remote address and port, the oldest first. */
  readonly #begun = new Map<string, Begun>();

  constructor({ withinMs = LIMITS.apiHandshakeWithinMs }: { readonly withinMs?: number | undefined } = {}) {
    this.#withinMs = withinMs;
  }

  get count(): number {
    return this.#begun.size;
  }

  /** A connection was accepted, and nothing is known of it yet. */
  begun(socket: Socket): void {
    const peer = remoteEnd(socket);
    const timer = setTimeout(() => {
      this.#forget(peer);
      socket.destroy();
    }, this.#withinMs);
    timer.unref();
    // What came from there before is gone: its port is used again.
    clearTimeout(this.#begun.get(peer)?.timer);
    this.#begun.delete(peer);
    this.#begun.set(peer, { socket, timer });
    socket.once('close', () => {
      if (this.#begun.get(peer)?.socket === socket) this.#forget(peer);
    });
    const [oldest] = this.#begun;
    if (oldest === undefined || this.#begun.size <= LIMITS.apiHandshakesMax) return;
    const [itsPeer, silent] = oldest;
    this.#forget(itsPeer);
    silent.socket.destroy();
  }

  /** The handshake of a connection is done. TLS has a socket of its own for it, from the same remote end. */
  finished(socket: TLSSocket): void {
    this.#forget(remoteEnd(socket));
  }

  #forget(peer: string): void {
    clearTimeout(this.#begun.get(peer)?.timer);
    this.#begun.delete(peer);
  }
}

function remoteEnd({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}
