import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RenewRequest, RenewResponse } from '../proto/peer.ts';
import { checkHosts } from './certificateNames.ts';
import { verifyCertificateRequest } from './certificateRequest.ts';
import { readCertificate } from './publicKey.ts';
import { toRefusalStatus } from './refusalStatus.ts';
import type { RecordTrustEvent } from './trustEvent.ts';

/** What renewals ask of the node behind them. */
export interface RenewalPort {
  isLeader(): boolean;
  /** host:port of the leader's peer port as far as this node knows, or null. */
  leaderPeerAddress(): string | null;
  /** In the member table, as it is applied here. */
  isMember(nodeId: NodeId): boolean;
  issue(request: {
    readonly csr: Uint8Array;
    readonly nodeId: NodeId;
    readonly hosts: readonly string[];
  }): Promise<RenewResponse>;
}

/** Who asks: on a connection on which it has proved what members hold. */
export interface ProvedPeer {
  readonly peerId: NodeId;
  /** DER: what it has shown in the TLS handshake. */
  readonly peerCertificate: Uint8Array;
}

export interface RenewalServiceOptions {
  readonly port: RenewalPort;
  readonly record: RecordTrustEvent;
}

/** `holdfast.peer.v1.Peer/Renew`: a member's certificate once more, for the same node and the same key. */
export class RenewalService {
  readonly #port: RenewalPort;
  readonly #record: RecordTrustEvent;
  #inFlight = 0;

  constructor({ port, record }: RenewalServiceOptions) {
    this.#port = port;
    this.#record = record;
  }

  /** Rejects with a refusal in gRPC's form, which names the leader when this node does not lead. */
  async answer(peer: ProvedPeer, request: RenewRequest): Promise<RenewResponse> {
    try {
      return await this.#counted(() => this.#renew(peer, request));
    } catch (thrown) {
      const leader = this.#port.isLeader() ? null : this.#port.leaderPeerAddress();
      throw toRefusalStatus(toHoldfastError(thrown), leader);
    }
  }

  async #counted<T>(renew: () => Promise<T>): Promise<T> {
    if (this.#inFlight >= LIMITS.renewalsInFlightMax) {
      const message = `${LIMITS.renewalsInFlightMax} renewals are being answered already`;
      throw new HoldfastError('OVERLOADED', message);
    }
    this.#inFlight += 1;
    try {
      return await renew();
    } finally {
      this.#inFlight -= 1;
    }
  }

  async #renew({ peerId, peerCertificate }: ProvedPeer, request: RenewRequest): Promise<RenewResponse> {
    const port = this.#port;
    if (!port.isLeader()) throw new HoldfastError('NOT_LEADER', 'only the leader renews certificates');
    if (request.nodeId !== peerId) throw denied('node_id', `is not that of the caller, which is ${peerId}`);
    if (!port.isMember(peerId)) {
      throw new HoldfastError('MEMBER_UNKNOWN', `node ${peerId} is no member`, { field: 'node_id' });
    }
    checkHosts(request.hosts);
    const { publicKey } = await verifyCertificateRequest(request.csr);
    if (!readCertificate(peerCertificate).publicKey.equals(publicKey)) {
      throw denied('csr', 'is for another key than the certificate of this connection');
    }
    const { csr, hosts } = request;
    const issued = await port.issue({ csr, nodeId: peerId, hosts });
    this.#record({ kind: 'renewed', nodeId: peerId, certificate: issued.certificate });
    return issued;
  }
}

function denied(field: string, rule: string): HoldfastError {
  return new HoldfastError('PERMISSION_DENIED', `${field} ${rule}`, { field });
}
