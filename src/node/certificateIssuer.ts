import { present } from '../base/assert.ts';
import { asBuffer } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { ClusterId, NodeId } from '../base/ids.ts';
import type { RandomSource } from '../base/random.ts';
import type { RenewResponse } from '../proto/peer.ts';
import type { Store } from '../store/store.ts';
import { refuseHostsOfOthers, withLoopback } from '../trust/certificateNames.ts';
import { type IssueOptions, issueNodeCertificate, reissueClientCertificate } from '../trust/certificates.ts';

export interface IssuerParts {
  readonly clusterId: ClusterId;
  readonly store: Pick<Store, 'authority' | 'members'>;
  readonly lifetimeMs: number;
  readonly clock: Clock;
  readonly random: RandomSource;
}

export interface NodeToCertify {
  /** PKCS #10, DER; its key is the node's. */
  readonly csr: Uint8Array;
  readonly nodeId: NodeId;
  readonly hosts: readonly string[];
  /** host:port, of a node that is no member yet. */
  readonly advertised?: readonly string[];
}

export interface ClientToCertify {
  readonly name: string;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  /** DER: what the client has shown on its connection. */
  readonly shown: Uint8Array;
}

/** Signs with the cluster's authority, as the state has it: any node could, and the leader does. */
export class CertificateIssuer {
  readonly #parts: IssuerParts;

  constructor(parts: IssuerParts) {
    this.#parts = parts;
  }

  /**
   * @throws HoldfastError INVALID_ARGUMENT for the request, or a host that is none or another member's; TOO_LARGE for too
   *   many of them
   */
  async issue({ csr, nodeId, hosts, advertised = [] }: NodeToCertify): Promise<RenewResponse> {
    refuseHostsOfOthers(hosts, { nodeId, advertised }, this.#parts.store.members);
    const options = this.#options();
    const names = { hosts: withLoopback(hosts) };
    const certificate = await issueNodeCertificate({ ...options, csr, nodeId, names });
    return { certificate, authorityCertificate: options.authority.certificate };
  }

  /** A client's own certificate (DER) once more. @throws as reissueClientCertificate */
  reissueClient(client: ClientToCertify): Promise<Buffer> {
    return reissueClientCertificate({ ...this.#options(), ...client });
  }

  #options(): IssueOptions {
    const { store, clusterId, lifetimeMs, clock, random } = this.#parts;
    const { certificate, privateKey } = present(store.authority, 'cluster authority');
    // No copy: one in the pool that buffers share would stay there, whatever is wiped.
    const authority = { certificate: asBuffer(certificate), privateKey: asBuffer(privateKey) };
    return { authority, clusterId, lifetimeMs, clock, random };
  }
}
