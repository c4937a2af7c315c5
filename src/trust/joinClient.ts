import { createPublicKey, type KeyObject } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { type ErrorCode, HoldfastError } from '../base/errors.ts';
import type { ClusterId, NodeId, StoreId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import type { ControlKey } from '../envelope/controlKey.ts';
import type { Fingerprint } from '../envelope/fingerprint.ts';
import type { EncryptionToggle } from '../envelope/keyring.ts';
import type { JoinRequest } from '../proto/peer.ts';
import type { Member } from '../proto/storage.ts';
import { createNodeKeyAndCsr } from './certificateRequest.ts';
import { checkJoinAnswer } from './joinAnswer.ts';
import { callJoin } from './joinCall.ts';
import { JOIN_FORMAT } from './joinFormat.ts';
import { type JoinToken, parseJoinToken } from './joinToken.ts';
import { fetchPinnedAuthority } from './pinnedAuthority.ts';
import { PROOF_NONCE_BYTES } from './proof.ts';
import { keyHash } from './publicKey.ts';
import { fromRefusalStatus, type RemoteRefusal } from './refusalStatus.ts';

export interface JoinOptions {
  /** As the operator gave it. */
  readonly token: string;
  readonly nodeId: NodeId;
  readonly name: string;
  /** host:port by which the other nodes reach this one. */
  readonly peerAddress: string;
  /** host:port by which clients reach this node. */
  readonly apiAddress: string;
  /** Further names and addresses for the certificate. */
  readonly hosts?: readonly string[];
  /** All that this node holds; the cluster says which one is to be proved. */
  readonly controlKeys: readonly ControlKey[];
  readonly jwtSecretFingerprints: readonly Fingerprint[];
  /** What this node is set to; null: whatever the cluster has. */
  readonly encryption: EncryptionToggle | null;
  readonly random: RandomSource;
  /** For the whole join, on the monotonic clock. */
  readonly deadlineMs: number;
  readonly clock: Clock;
}

/** All that a new member needs; nothing of it has been written anywhere yet. */
export interface JoinedCluster {
  readonly clusterId: ClusterId;
  readonly storeId: StoreId;
  /** DER: all that members trust; the one that the token pins is among them. */
  readonly authorities: readonly Buffer[];
  /** DER. */
  readonly nodeCertificate: Buffer;
  readonly privateKey: KeyObject;
  /** The stored form: data keys wrapped by the control key. */
  readonly keyring: Buffer;
  readonly members: readonly Member[];
  readonly role: 'voter' | 'learner';
}

/**
 * Joins a cluster with a token: makes a key, asks the token's addresses in turn, follows hints to the leader, and
 * checks all that comes back. A cluster that is reached but not ready (no leader yet, another change under way) is
 * asked again until the deadline, each time with the same key, which a token allows.
 * @throws HoldfastError TOKEN_MALFORMED before anything is sent; CONTROL_KEY_MISMATCH, ENCRYPTION_MISMATCH or
 *   JWT_SECRET_MISMATCH as either side finds; TOKEN_UNKNOWN, TOKEN_EXPIRED, TOKEN_USED,
 *   NODE_ID_REUSED, VERSION_UNSUPPORTED or INVALID_ARGUMENT as the cluster says; CERTIFICATE_INVALID or
 *   CLUSTER_MISMATCH when an answer does not check out; UNAVAILABLE or DEADLINE_EXCEEDED when none comes
 */
export async function joinCluster(options: JoinOptions): Promise<JoinedCluster> {
  const token = parseJoinToken(options.token);
  const { privateKey, csr } = await createNodeKeyAndCsr({ nodeId: options.nodeId });
  const attempt = new JoinAttempt(options, { token, privateKey, csr });
  let telling: RemoteRefusal[] = [];
  for (;;) {
    const outcome = await attempt.round();
    if ('joined' in outcome) return outcome.joined;
    // Once a cluster has been reached, its nodes may come and go until the deadline.
    const worst = mostTelling([...telling, outcome]);
    const leftMs = options.deadlineMs - options.clock.monotonicMs();
    if (!worst.passing || leftMs <= LIMITS.joinRetryDelayMs) throw worst.error;
    telling = [worst];
    await delay(LIMITS.joinRetryDelayMs);
  }
}

interface JoinMaterial {
  readonly token: JoinToken;
  readonly privateKey: KeyObject;
  readonly csr: Buffer;
}

const SILENCE: ReadonlySet<ErrorCode> = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);

type Outcome = { readonly joined: JoinedCluster } | RemoteRefusal;

class JoinAttempt {
  readonly #options: JoinOptions;
  readonly #material: JoinMaterial;

  constructor(options: JoinOptions, material: JoinMaterial) {
    this.#options = options;
    this.#material = material;
  }

  /** Each address of the token once, and what they point to. Throws what asking elsewhere cannot change. */
  async round(): Promise<Outcome> {
    const waiting = [...this.#material.token.addresses];
    const failures: RemoteRefusal[] = [];
    let redirectsLeft: number = LIMITS.joinRedirectsMax;
    for (let address = waiting.shift(); address !== undefined; address = waiting.shift()) {
      const outcome = await this.#ask(address);
      if ('joined' in outcome) return outcome;
      failures.push(outcome);
      if (outcome.leader !== null && outcome.leader !== address && redirectsLeft > 0) {
        redirectsLeft -= 1;
        waiting.unshift(outcome.leader);
      }
    }
    return mostTelling(failures);
  }

  async #ask(address: string): Promise<Outcome> {
    const { clock, deadlineMs } = this.#options;
    const { token, privateKey } = this.#material;
    const firstWordMs = Math.min(deadlineMs, clock.monotonicMs() + LIMITS.peerConnectTimeoutMs);
    let authorityCertificate: Buffer;
    try {
      const { spkiHash } = token;
      authorityCertificate = await fetchPinnedAuthority({
        address,
        spkiHash,
        deadlineMs: firstWordMs,
        clock,
      });
    } catch (thrown) {
      // An address that cannot be reached, or is not of this cluster, is passed over but not asked again.
      if (thrown instanceof HoldfastError) return { error: thrown, leader: null, passing: false };
      throw thrown;
    }
    // One node that takes the call and then says nothing must not use up the time of the others.
    const answerMs = Math.min(deadlineMs, clock.monotonicMs() + LIMITS.joinCallTimeoutMs);
    const answer = await callJoin({
      address,
      authorityCertificate,
      request: this.#request(),
      csrKeyHash: keyHash(createPublicKey(privateKey)),
      controlKeys: this.#options.controlKeys,
      deadlineMs: answerMs,
      clock,
    });
    if ('failure' in answer) {
      const failure = fromRefusalStatus(answer.failure, address);
      if (!failure.passing) throw failure.error;
      return failure;
    }
    const { nodeId } = this.#options;
    const { response } = answer;
    const expected = { nodeId, authorityCertificate, clock, privateKey };
    const joined = { ...checkJoinAnswer(response, expected), privateKey };
    return { joined };
  }

  #request(): JoinRequest {
    const { nodeId, name, peerAddress, apiAddress, hosts = [], random } = this.#options;
    const { controlKeys, jwtSecretFingerprints, encryption } = this.#options;
    const { token, csr } = this.#material;
    return {
      tokenId: token.id,
      tokenSecret: token.secret,
      nodeId,
      name,
      peerAddress,
      apiAddress,
      csr,
      hosts,
      format: JOIN_FORMAT,
      nonce: random.bytes(PROOF_NONCE_BYTES),
      controlKeyFingerprints: controlKeys.map(({ fingerprint }) => fingerprint),
      jwtSecretFingerprints,
      encryption: encryption ?? '',
    };
  }
}

/** The one to tell the operator: what a node of the cluster said, else that one was silent, else a wrong CA. */
function mostTelling(failures: readonly RemoteRefusal[]): RemoteRefusal {
  const silent = (failure: RemoteRefusal) => SILENCE.has(failure.error.code);
  const said = failures.findLast((failure) => failure.passing && !silent(failure));
  const reached = failures.findLast((failure) => failure.passing);
  const wrong = failures.findLast((failure) => failure.error.code === 'CERTIFICATE_INVALID');
  return said ?? reached ?? wrong ?? present(failures.at(-1), 'a token has an address');
}
