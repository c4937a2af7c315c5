import { createSecureContext, type PeerCertificate } from 'node:tls';
import { type ChannelCredentials, Client, credentials as grpcCredentials } from '@grpc/grpc-js';
import { parseAddress } from '../../base/address.ts';
import type { NodeId } from '../../base/ids.ts';
import { PEER_CHANNEL_OPTIONS } from './channelOptions.ts';
import type { IdentifyNode, PeerCredentials } from './types.ts';

/** Makes clients that speak to one node and to nobody else, whatever answers at its address. */
export class PeerDialer {
  #credentials: PeerCredentials;
  readonly #identify: IdentifyNode;

  constructor(options: { credentials: PeerCredentials; identify: IdentifyNode }) {
    this.#credentials = options.credentials;
    this.#identify = options.identify;
  }

  /** Connections made from now on show this certificate. */
  renew(credentials: PeerCredentials): void {
    this.#credentials = credentials;
  }

  /** A client over a TCP connection of its own. The caller closes it. @throws HoldfastError INVALID_ARGUMENT */
  dial(nodeId: NodeId, address: string): Client {
    parseAddress(address, 'peer_address');
    // With the scheme, since a host may be called `unix`.
    return new Client(`dns:${address}`, this.#channelCredentials(nodeId), {
      ...PEER_CHANNEL_OPTIONS,
      // Sent as server name only (an address is not allowed there); who answers is checked below, by node id.
      'grpc.ssl_target_name_override': `${nodeId}.peer.holdfast.internal`,
    });
  }

  #channelCredentials(nodeId: NodeId): ChannelCredentials {
    const { certificate, privateKey, authorityCertificate } = this.#credentials;
    const context = createSecureContext({
      cert: certificate,
      key: privateKey,
      ca: authorityCertificate,
      minVersion: 'TLSv1.3',
    });
    return grpcCredentials.createFromSecureContext(context, {
      // Called only once the chain is verified; an error here ends the handshake.
      checkServerIdentity: (_host: string, presented: PeerCertificate) =>
        this.#identify(presented.raw) === nodeId
          ? undefined
          : new Error(`the certificate shown is not that of node ${nodeId}`),
    });
  }
}
