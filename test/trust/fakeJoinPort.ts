import { timingSafeEqual } from 'node:crypto';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { newStoreId } from '../../src/base/ids.ts';
import type { Member } from '../../src/proto/storage.ts';
import { spkiHash } from '../../src/trust/authority.ts';
import { issueNodeCertificate } from '../../src/trust/certificates.ts';
import type { JoinPort } from '../../src/trust/joinService.ts';
import { createJoinToken } from '../../src/trust/joinToken.ts';
import { DAY_MS, random, type TestCluster } from './cluster.ts';

interface FakeToken {
  readonly secretHash: Buffer;
  readonly role: string;
  expired: boolean;
  usedBy: string | null;
}

/** A cluster of one that keeps its tokens and members in memory. */
export class FakeJoinPort implements JoinPort {
  readonly storeId = newStoreId(random);
  readonly clusterId: JoinPort['clusterId'];
  readonly authorityCertificate: Buffer;
  readonly learners: Member[] = [];
  readonly clock: Clock = systemClock;
  leader: string | null = null;
  calls = 0;
  /** Runs before each use of a token. */
  beforeUse: () => Promise<void> = () => Promise.resolve();
  /** Who issues, when it is not the cluster itself. */
  issuer: TestCluster;
  readonly #tokens = new Map<string, FakeToken>();

  constructor(cluster: TestCluster) {
    this.clusterId = cluster.clusterId;
    this.authorityCertificate = cluster.authority.certificate;
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

  leaderPeerAddress(): string | null {
    return this.leader;
  }

  checkToken({ id, secretHash }: Parameters<JoinPort['checkToken']>[0]): Promise<void> {
    const token = this.#tokens.get(id);
    if (token !== undefined && timingSafeEqual(token.secretHash, secretHash)) return Promise.resolve();
    return Promise.reject(
      new HoldfastError('TOKEN_UNKNOWN', 'no join token has this id and secret', { field: 'token' }),
    );
  }

  async useToken({ id, secretHash, nodeId, csrKeyHash }: Parameters<JoinPort['useToken']>[0]) {
    this.calls += 1;
    await this.beforeUse();
    const token = this.#tokens.get(id);
    if (token === undefined || !timingSafeEqual(token.secretHash, secretHash)) {
      throw new HoldfastError('TOKEN_UNKNOWN', 'no join token has this id and secret', { field: 'token' });
    }
    if (token.expired) throw new HoldfastError('TOKEN_EXPIRED', 'the join token is past its time');
    const user = `${nodeId} ${Buffer.from(csrKeyHash).toString('hex')}`;
    if (token.usedBy !== null && token.usedBy !== user) {
      throw new HoldfastError('TOKEN_USED', 'another node has used this join token', {
        hint: 'Make another — new — one.',
      });
    }
    token.usedBy = user;
    return { role: token.role };
  }

  issue({ csr, nodeId, hosts }: Parameters<JoinPort['issue']>[0]): Promise<Buffer> {
    const { authority, clusterId } = this.issuer;
    const { clock } = this;
    return issueNodeCertificate({
      authority,
      clusterId,
      csr,
      nodeId,
      names: { hosts },
      lifetimeMs: DAY_MS,
      clock,
      random,
    });
  }

  addLearner(member: Member): Promise<void> {
    this.learners.push(member);
    return Promise.resolve();
  }

  members(): readonly Member[] {
    return this.learners;
  }

  keyring(): Buffer {
    return Buffer.from('{"keys":[]}');
  }
}
