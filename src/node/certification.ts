import { present } from '../base/assert.ts';
import { systemClock } from '../base/clock.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import { systemRandom } from '../base/random.ts';
import { systemScheduler, type Timer } from '../base/scheduler.ts';
import type { RenewRequest, RenewResponse } from '../proto/peer.ts';
import type { GrpcPeerTransport } from '../replication/transport/grpcPeerTransport.ts';
import type { PeerCredentials } from '../replication/transport/types.ts';
import type { Store } from '../store/store.ts';
import type { IdentityContext } from '../trust/identity.ts';
import type { NodeCredentials } from '../trust/nodeCredentials.ts';
import { RenewalService } from '../trust/renewalService.ts';
import { type TlsMaterial, TlsMaterialHolder, tlsMaterial } from '../trust/tls.ts';
import { AuthorityChange } from './authorityChange.ts';
import { certificateHosts } from './certificateHosts.ts';
import { CertificateIssuer } from './certificateIssuer.ts';
import { CertificateRenewal } from './certificateRenewal.ts';
import type { NodeConfiguration } from './configuration.ts';
import type { NodeCore } from './core.ts';
import { CredentialsInForce } from './credentialsInForce.ts';
import { leaderPeerAddress } from './joinPort.ts';
import type { OpenedNode } from './openNode.ts';

export interface CertificationParts {
  readonly configuration: NodeConfiguration;
  readonly opened: OpenedNode;
  readonly store: Store;
  readonly core: NodeCore;
  /** Of the certificates that this node signs while it leads. */
  readonly lifetimeMs: number;
  readonly logger: Logger;
}

/** What this node shows of itself, and signs for others, on both ports; renewed while they are open. */
export class Certification {
  readonly issuer: CertificateIssuer;
  readonly renewals: RenewalService;
  /** Of the API. */
  readonly apiMaterial: TlsMaterialHolder;
  readonly change: AuthorityChange;
  readonly #parts: CertificationParts;
  readonly #credentials: CredentialsInForce;
  #renewal: CertificateRenewal | null = null;
  #ticking: Timer | null = null;

  constructor(parts: CertificationParts) {
    const { opened, store, core, lifetimeMs } = parts;
    const { clusterId } = opened.identity;
    this.#parts = parts;
    this.#credentials = new CredentialsInForce({
      dataDir: opened.directory.root,
      credentials: opened.credentials,
      clock: systemClock,
    });
    this.issuer = new CertificateIssuer({
      clusterId,
      store,
      lifetimeMs,
      clock: systemClock,
      random: systemRandom,
    });
    this.renewals = new RenewalService({
      port: {
        isLeader: () => core.leadership.isLeader,
        leaderPeerAddress: () => leaderPeerAddress({ leadership: core.leadership, store }),
        isMember: (nodeId) => store.member(nodeId) !== null,
        issue: (request) => this.issuer.issue(request),
      },
      record: (event) => core.trustLog.record(event),
    });
    this.change = new AuthorityChange({
      clusterId,
      nodeId: opened.identity.nodeId,
      store,
      credentials: this.#credentials,
      leadership: core.leadership,
      submit: core.submit,
      onTrusted: () => this.#renewal?.replan(),
      clock: systemClock,
      random: systemRandom,
      logger: parts.logger,
    });
    this.apiMaterial = new TlsMaterialHolder(apiMaterialOf(this.#credentials.now));
  }

  /** By which a certificate that somebody shows is judged now. */
  get identityContext(): IdentityContext {
    const { clusterId } = this.#parts.opened.identity;
    return { clusterId, authorities: this.#credentials.now.authorities, clock: systemClock };
  }

  /** PEM, for the peer port and what is dialled from it. */
  get peerCredentials(): PeerCredentials {
    const { ca, cert, key } = tlsMaterial(this.#credentials.now);
    return { certificate: cert, privateKey: key, authorityCertificate: ca };
  }

  get warnings(): readonly string[] {
    return [...(this.#renewal?.warnings ?? []), ...this.change.warnings];
  }

  /**
   * From now on a certificate that is due is renewed, and both ports show the new one to whoever connects.
   * `onDistrusted`: a CA is trusted no more.
   */
  start(transport: Pick<GrpcPeerTransport, 'renew' | 'ask'>, onDistrusted: () => void): void {
    const { configuration, opened, core, logger } = this.#parts;
    const { clusterId, nodeId } = opened.identity;
    let trusted = this.#credentials.now.authorities;
    this.#credentials.onReplaced((credentials) => {
      transport.renew(this.peerCredentials);
      this.apiMaterial.replace(apiMaterialOf(credentials));
      const { authorities } = credentials;
      if (trusted.some((one) => !authorities.some((another) => another.equals(one)))) onDistrusted();
      trusted = authorities;
    });
    this.#renewal = new CertificateRenewal({
      clusterId,
      nodeId,
      hosts: certificateHosts(configuration),
      credentials: this.#credentials,
      signer: () => this.#signerNow(),
      leadership: core.leadership,
      issueHere: (request) => this.issuer.issue({ ...request, nodeId }),
      ask: (leader: NodeId, request: RenewRequest): Promise<RenewResponse> =>
        transport.ask(leader, { method: 'renew', request }),
      clock: systemClock,
      random: systemRandom,
      scheduler: systemScheduler,
      logger,
    });
    for (const warning of this.#renewal.warnings) logger.warn({}, warning);
    this.#renewal.start();
    this.#ticking = systemScheduler.every(LIMITS.authorityTickMs, () => this.change.tick());
  }

  /** As the state says, once that decides. */
  #signerNow(): Uint8Array {
    return this.change.decided?.certificate ?? present(this.#credentials.signer, 'CA of this node');
  }

  stop(): void {
    this.#renewal?.stop();
    this.#ticking?.stop();
  }
}

/** Clients that know only the former CA must go on until it is dropped: the API shows its certificate for so long. */
function apiMaterialOf(credentials: NodeCredentials): TlsMaterial {
  const { certificate, former } = credentials;
  return tlsMaterial({ ...credentials, certificate: former ?? certificate });
}
