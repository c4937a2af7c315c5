import { X509Certificate } from 'node:crypto';
import { createSecureContext, type PeerCertificate } from 'node:tls';
import { type ChannelCredentials, Client, credentials as grpcCredentials } from '@grpc/grpc-js';
import { parseAddress } from '../../base/address.ts';
import { present } from '../../base/assert.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { PEER_CHANNEL_OPTIONS } from './channelOptions.ts';
import { certificateEndMs } from './nodeLinks.ts';
import type { IdentifyNode, PeerConnection, PeerCredentials, PeerTrust } from './types.ts';

/** A client over a TCP connection of its own, not yet proved. Whoever has it closes it. */
export interface Dialled {
  readonly client: Client;
  /** Proves both ends to each other. @throws HoldfastError */
  readonly prove: () => Promise<void>;
  /**
   * Aborted, by a HoldfastError, when the certificate that the other has shown is worth nothing any more, or the process
   * that has proved itself is not heard any more: then it is not spoken to either.
   */
  readonly over: AbortSignal;
  readonly close: () => void;
}

/** What the other end of a connection has shown, once it has. */
class Shown {
  readonly peerId: NodeId;
  readonly ending = new AbortController();
  certificate: Buffer | null = null;
  /** Of the process that has proved itself, once one has. */
  isHeard: () => boolean = () => true;
  #endMs = Number.POSITIVE_INFINITY;

  constructor(peerId: NodeId) {
    this.peerId = peerId;
  }

  take(certificate: Buffer): void {
    this.certificate = certificate;
    this.#endMs = certificateEndMs(certificate);
  }

  hasEnded(wallMs: number): boolean {
    return wallMs > this.#endMs;
  }

  endCertificate(why: string): void {
    const message = `the certificate that node ${this.peerId} has shown ${why}`;
    this.#end(message, 'It is dialled again, and has to show another one.');
  }

  endProcess(): void {
    const message = `another process of node ${this.peerId} is heard now, or none is`;
    this.#end(
      message,
      'It is dialled again. If that does not help, `holdfast status` says why it is fenced.',
    );
  }

  #end(message: string, hint: string): void {
    this.ending.abort(new HoldfastError('UNAVAILABLE', message, { hint }));
  }
}

/** Makes clients that speak to one node and to nobody else, whatever answers at its address. */
export class PeerDialer {
  #credentials: PeerCredentials;
  readonly #identify: IdentifyNode;
  readonly #trust: PeerTrust;
  /** Of each client that is not closed. */
  readonly #shown = new Set<Shown>();

  constructor(options: { credentials: PeerCredentials; identify: IdentifyNode; trust: PeerTrust }) {
    this.#credentials = options.credentials;
    this.#identify = options.identify;
    this.#trust = options.trust;
  }

  /**
   * Connections made from now on show this certificate. When the roots are others than before, those that stand end where
   * the other's certificate names it no more.
   */
  renew(credentials: PeerCredentials): void {
    const former = this.#credentials.authorityCertificate;
    this.#credentials = credentials;
    if (credentials.authorityCertificate.equals(former)) return;
    for (const shown of this.#shown) {
      const { certificate, peerId } = shown;
      if (certificate !== null && this.#identify(certificate) !== peerId)
        shown.endCertificate('is trusted no more');
    }
  }

  /** Ends connections to those whose certificate has ended, or whose process is not heard; called about once a second. */
  judge(wallMs: number): void {
    for (const shown of this.#shown) {
      if (shown.hasEnded(wallMs)) shown.endCertificate('has expired');
      if (!shown.isHeard()) shown.endProcess();
    }
  }

  /** @throws HoldfastError INVALID_ARGUMENT */
  dial(peerId: NodeId, address: string): Dialled {
    parseAddress(address, 'peer_address');
    const shown = new Shown(peerId);
    const over = shown.ending.signal;
    const ownCertificate = new X509Certificate(this.#credentials.certificate).raw;
    const credentials = this.#channelCredentials((certificate) => {
      shown.take(certificate);
      return this.#identify(certificate) === peerId
        ? undefined
        : new Error(`the certificate shown is not that of node ${peerId}`);
    });
    // With the scheme, since a host may be called `unix`.
    const client = new Client(`dns:${address}`, credentials, {
      ...PEER_CHANNEL_OPTIONS,
      // Sent as server name only (an address is not allowed there); who answers is checked above, by node id.
      'grpc.ssl_target_name_override': `${peerId}.peer.holdfast.internal`,
    });
    const connection = (): PeerConnection => {
      over.throwIfAborted();
      const peerCertificate = present(shown.certificate, 'certificate of a peer that has answered');
      return { peerId, ownCertificate, peerCertificate };
    };
    this.#shown.add(shown);
    const close = (): void => {
      this.#shown.delete(shown);
      client.close();
    };
    const prove = async (): Promise<void> => {
      shown.isHeard = await this.#trust.prove(client, { peerId, connection });
    };
    return { client, prove, over, close };
  }

  /** `check`: called only once the chain is verified; an error of it ends the handshake. */
  #channelCredentials(check: (certificate: Buffer) => Error | undefined): ChannelCredentials {
    const { certificate, privateKey, authorityCertificate } = this.#credentials;
    const context = createSecureContext({
      cert: certificate,
      key: privateKey,
      ca: authorityCertificate,
      minVersion: 'TLSv1.3',
    });
    return grpcCredentials.createFromSecureContext(context, {
      checkServerIdentity: (_host: string, { raw }: PeerCertificate) => check(raw),
    });
  }
}
