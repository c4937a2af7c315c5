import { createSecretKey, timingSafeEqual } from 'node:crypto';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { newStoreId } from '../../src/base/ids.ts';
import { ControlKey } from '../../src/envelope/controlKey.ts';
import { fingerprintOf } from '../../src/envelope/fingerprint.ts';
import type { RenewResponse } from '../../src/proto/peer.ts';
import type { Member } from '../../src/proto/storage.ts';
import { spkiHash } from '../../src/trust/authority.ts';
import { issueNodeCertificate } from '../../src/trust/certificates.ts';
import type { JoinPort, TokenClaim, TokenUse } from '../../src/trust/joinService.ts';
import { createJoinToken } from '../../src/trust/joinToken.ts';
import type { ClusterTerms } from '../../src/trust/terms.ts';
import { DAY_MS, random, type TestCluster } from './cluster.ts';

interface FakeToken {
  readonly secretHash: Buffer;
  readonly role: string;
  expired: boolean;
  usedBy: string | null;
}

/** The key of 32 equal bytes. */
export const controlKeyOf = (byte: number): ControlKey =>
  new ControlKey(createSecretKey(Buffer.alloc(32, byte)));

export const JWT_SECRET_FINGERPRINT = fingerprintOf(createSecretKey(Buffer.alloc(32, 9)));

const userOf = ({ nodeId, csrKeyHash }: TokenUse): string =>
  `${nodeId} ${Buffer.from(csrKeyHash).toString('hex')}`;

/** A cluster of one that keeps its tokens and members in memory. */
export class FakeJoinPort implements JoinPort {
  readonly storeId = newStoreId(random);
  readonly clusterId: JoinPort['clusterId'];
  readonly authorityCertificate: Buffer;
  trusted: readonly Buffer[];
  readonly learners: Member[] = [];
  readonly clock: Clock = systemClock;
  leader: string | null = null;
  isFull = false;
  /** Of the control key in force: its bytes. */
  keyByte = 1;
  calls = 0;
  /** Runs before each use of a token. */
  beforeUse: () => Promise<void> = () => Promise.resolve();
  /** Who issues, when it is not the cluster itself. */
  issuer: TestCluster;
  readonly #tokens: Map<string, FakeToken>;

  /** `beside`: another node of the same cluster, which knows the same tokens. */
  constructor(cluster: TestCluster, beside: FakeJoinPort | null = null) {
    this.#tokens = beside === null ? new Map() : beside.#tokens;
    this.clusterId = cluster.clusterId;
    this.authorityCertificate = cluster.authority.certificate;
    this.trusted = [this.authorityCertificate];
    this.issuer = cluster;
  }

  newToken(addresses: readonly string[], role = 'voter') {
    const { text, id, secretHash } = createJoinToken({
      random,
      spkiHash: spkiHash(this.authorityCertificate),
      addresses,
    });
    const token: FakeToken = { secretHash, role, expired: false, usedBy: null };
    this.#tokens.set(id, token);
    return { text, id, token };
  }

  isLeader(): boolean {
    return this.leader === null;
  }

  leaderPeerAddress({ id, secretHash }: TokenClaim): string | null {
    const token = this.#tokens.get(id);
    return token?.secretHash.equals(secretHash) === true ? this.leader : null;
  }

  async checkToken(claim: TokenClaim): Promise<void> {
    this.#good(claim);
    return Promise.resolve();
  }

  checkTokenUse(use: TokenUse): void {
    const { usedBy } = this.#good(use);
    if (usedBy === null || usedBy === userOf(use)) return;
    throw new HoldfastError('TOKEN_USED', 'another node has used this join token', {
      hint: 'Make another — new — one.',
    });
  }

  checkRoom(): void {
    if (this.isFull) throw new HoldfastError('INVALID_ARGUMENT', 'no room', { field: 'members' });
  }

  async useToken(use: TokenUse) {
    this.calls += 1;
    await this.beforeUse();
    const token = this.#good(use);
    this.checkTokenUse(use);
    token.usedBy = userOf(use);
    return { role: token.role };
  }

  #good({ id, secretHash }: TokenClaim): FakeToken {
    const token = this.#tokens.get(id);
    if (token === undefined || !timingSafeEqual(token.secretHash, secretHash)) {
      throw new HoldfastError('TOKEN_UNKNOWN', 'no join token has this id and secret', { field: 'token' });
    }
    if (token.expired) throw new HoldfastError('TOKEN_EXPIRED', 'the join token is past its time');
    return token;
  }

  authorities() {
    return this.trusted;
  }

  async issue({ csr, nodeId, hosts }: Parameters<JoinPort['issue']>[0]): Promise<RenewResponse> {
    const { authority, clusterId } = this.issuer;
    const { authorityCertificate, clock } = this;
    const certificate = await issueNodeCertificate({
      authority,
      clusterId,
      csr,
      nodeId,
      names: { hosts },
      lifetimeMs: DAY_MS,
      clock,
      random,
    });
    return { certificate, authorityCertificate };
  }

  addLearner(member: Member): Promise<void> {
    this.learners.push(member);
    return Promise.resolve();
  }

  members(): readonly Member[] {
    return this.learners;
  }

  /** Of that control key, a JWT secret and encryption on. */
  terms(): ClusterTerms {
    return {
      controlKeyFingerprint: controlKeyOf(this.keyByte).fingerprint,
      jwtSecretFingerprint: JWT_SECRET_FINGERPRINT,
      encryption: 'on',
    };
  }

  controlKey(): ControlKey {
    return controlKeyOf(this.keyByte);
  }

  keyring(): Buffer {
    return Buffer.from('{"keys":[]}');
  }
}
