import type { Clock } from '../base/clock.ts';
import { type HoldfastError, toHoldfastError } from '../base/errors.ts';
import type { ClusterId, NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import type { RandomSource } from '../base/random.ts';
import type { Scheduler, Timer } from '../base/scheduler.ts';
import type { RenewRequest, RenewResponse } from '../proto/peer.ts';
import { createCsr } from '../trust/certificateRequest.ts';
import { readCertificate } from '../trust/publicKey.ts';
import { fromRefusalStatus, isServiceError } from '../trust/refusalStatus.ts';
import { checkRenewalAnswer } from '../trust/renewalAnswer.ts';
import { certificateWarning, renewalAtMs } from '../trust/renewalDue.ts';
import type { CredentialsInForce } from './credentialsInForce.ts';
import type { Leadership } from './leadership.ts';

export interface CertificateRenewalParts {
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
  /** All that this node's certificate has to carry. */
  readonly hosts: readonly string[];
  readonly credentials: CredentialsInForce;
  /** DER: the CA that signs now, as far as this node has applied. */
  readonly signer: () => Uint8Array;
  readonly leadership: Leadership;
  /** While this node leads. */
  readonly issueHere: (request: RenewRequest) => Promise<RenewResponse>;
  /** Rejects with a HoldfastError, or with what the other node's refusal is in gRPC. */
  readonly ask: (leader: NodeId, request: RenewRequest) => Promise<RenewResponse>;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
}

/** Has this node's certificate renewed by the leader when it is due, for as long as the node runs. */
export class CertificateRenewal {
  readonly #parts: CertificateRenewalParts;
  #timer: Timer | null = null;
  #failures = 0;
  #stopped = false;

  constructor(parts: CertificateRenewalParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#plan();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.stop();
  }

  /** What is due may have changed. */
  replan(): void {
    if (this.#timer === null) return;
    this.#timer.stop();
    this.#plan();
  }

  /** For status, one sentence each. */
  get warnings(): readonly string[] {
    const { credentials, clock } = this.#parts;
    const warning = certificateWarning(credentials.now.certificate, clock.wallMs());
    return warning === null ? [] : [warning];
  }

  /** Looked at again before long, whatever the time until then: a wall clock may be set. */
  #plan(): void {
    if (this.#stopped) return;
    const { clock, scheduler } = this.#parts;
    const waitMs = this.#failures > 0 ? this.#retryMs() : this.#dueAtMs() - clock.wallMs();
    const boundedMs = Math.min(Math.max(waitMs, LIMITS.renewalCheckMsMin), this.#waitMsMax());
    this.#timer = scheduler.after(boundedMs, () => void this.#look());
  }

  #waitMsMax(): number {
    return this.#failures > 0 ? LIMITS.renewalRetryMsMax : LIMITS.renewalCheckMsMax;
  }

  #retryMs(): number {
    const ceiling = LIMITS.renewalRetryMsMin * 2 ** Math.min(this.#failures, 16);
    const boundedMs = Math.min(ceiling, LIMITS.renewalRetryMsMax);
    return this.#parts.random.integer({ min: Math.ceil(boundedMs / 2), max: boundedMs + 1 });
  }

  #dueAtMs(): number {
    const { credentials, nodeId, hosts, signer } = this.#parts;
    const { certificate } = credentials.now;
    return renewalAtMs({ certificate, nodeId, hosts, signer: signer() });
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { clock, leadership } = this.#parts;
    this.#timer = null;
    // Without a leader there is nobody to ask, which is no failure of asking.
    if (clock.wallMs() >= this.#dueAtMs() && leadership.leader !== null) {
      try {
        await this.#renew(leadership.leader);
        this.#failures = 0;
      } catch (thrown) {
        this.#failed(thrown);
      }
    }
    this.#plan();
  }

  async #renew(leader: NodeId): Promise<void> {
    const { clusterId, nodeId, hosts, credentials, leadership, issueHere, ask, clock } = this.#parts;
    const { privateKey, authorities } = credentials.now;
    const request = { nodeId, csr: await createCsr({ nodeId, privateKey }), hosts };
    const response = leadership.isLeader ? await issueHere(request) : await ask(leader, request);
    const certificate = checkRenewalAnswer(response, {
      clusterId,
      nodeId,
      authorities,
      privateKey,
      hosts,
      clock,
    });
    await credentials.renew(certificate);
    const { serialNumber, validTo } = readCertificate(certificate);
    this.#parts.logger.info({ serialNumber, validTo }, 'the certificate of this node was renewed');
  }

  #failed(thrown: unknown): void {
    const error = errorOf(thrown);
    this.#failures += 1;
    const { code, message: reason, hint } = error;
    this.#parts.logger.warn(
      { code, reason, hint, failures: this.#failures },
      'the certificate of this node could not be renewed; it is tried again',
    );
  }
}

function errorOf(thrown: unknown): HoldfastError {
  return isServiceError(thrown)
    ? fromRefusalStatus(thrown, 'the leader says').error
    : toHoldfastError(thrown);
}
