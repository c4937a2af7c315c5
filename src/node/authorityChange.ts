import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { toHoldfastError } from '../base/errors.ts';
import type { ClusterId, NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import type { RandomSource } from '../base/random.ts';
import type { Announcement } from '../proto/peer.ts';
import type { AuthorityRow, Principal } from '../proto/storage.ts';
import { certificateHash, trustedCertificates } from '../store/authorityRotation.ts';
import type { Store } from '../store/store.ts';
import { createAuthority } from '../trust/authority.ts';
import { readCertificate } from '../trust/publicKey.ts';
import type { CredentialsInForce } from './credentialsInForce.ts';
import type { Leadership } from './leadership.ts';
import { outcomeFailure } from './outcome.ts';
import { type RotationView, rotationView, rotationWarning, type SaidByMember } from './rotationView.ts';
import type { Submission, Submit } from './submit.ts';

export interface AuthorityChangeParts {
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
  readonly store: Pick<Store, 'authority' | 'authorityIndex' | 'members' | 'member'>;
  readonly credentials: CredentialsInForce;
  readonly leadership: Leadership;
  readonly submit: Pick<Submit, 'submit'>;
  /** What this node trusts, or which CA it should have its certificate from, has changed. */
  readonly onTrusted: () => void;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly logger: Logger;
}

/** What nodes tell each other of their certificates. */
export type TrustAnnouncement = Pick<Announcement, 'trustedAuthorities' | 'ownAuthority'>;

/** Who asks for a step, and until when. */
export interface Asker {
  readonly principal: Principal;
  readonly deadlineMs: number;
}

/**
 * The change of the cluster's CA, as the replicated state has it: every node trusts what it names and says so; the leader,
 * whichever that is, takes the next step once all members have said that they are ready for it.
 */
export class AuthorityChange {
  readonly #parts: AuthorityChangeParts;
  readonly #said = new Map<string, SaidByMember>();
  #trusted: AuthorityRow | null = null;
  #formerEndsMs = Number.POSITIVE_INFINITY;
  #isTrusting = false;
  #isStepping = false;

  constructor(parts: AuthorityChangeParts) {
    this.#parts = parts;
  }

  announcement(): TrustAnnouncement {
    const { authorities, authoritiesIndex } = this.#parts.credentials.now;
    const { signer } = this.#parts.credentials;
    // What the answer to a join said is no confirmation: the state, once it decides, may name fewer for a moment.
    const followed = authoritiesIndex > 0 ? authorities : [];
    return {
      trustedAuthorities: followed.map(certificateHash),
      ownAuthority: signer === null ? Buffer.alloc(0) : certificateHash(signer),
    };
  }

  heard({
    nodeId,
    announcement,
  }: {
    readonly nodeId: string;
    readonly announcement: TrustAnnouncement;
  }): void {
    if (this.#parts.store.member(nodeId) === null) this.#said.delete(nodeId);
    else this.#said.set(nodeId, saidIn(announcement));
  }

  /** Called about twice a second. */
  tick(): void {
    void this.#follow();
    if (this.#parts.leadership.isLeader) void this.#lead();
  }

  /**
   * What the state says of the CAs, as soon as it may be believed: once it holds this node as a member, which is where the
   * answer to its join was given, and is not older than what this node has followed before. Null until then.
   */
  get decided(): AuthorityRow | null {
    const { store, nodeId, credentials } = this.#parts;
    const isBehind = store.authorityIndex < credentials.now.authoritiesIndex;
    return isBehind || store.member(nodeId) === null ? null : store.authority;
  }

  view(): RotationView {
    const { store, nodeId } = this.#parts;
    const said = new Map(this.#said).set(nodeId, saidIn(this.announcement()));
    return rotationView(this.#authority(), { members: store.members, said });
  }

  /** For status of the leader, who alone hears all members. */
  get warnings(): readonly string[] {
    const { store, leadership } = this.#parts;
    if (!leadership.isLeader || store.authority === null) return [];
    const warning = rotationWarning(this.view());
    return warning === null ? [] : [warning];
  }

  /** Makes the next CA, which all members are to trust. @throws HoldfastError INVALID_ARGUMENT when a change is under way */
  async begin({ principal, deadlineMs }: Asker): Promise<void> {
    const { clusterId, clock, random } = this.#parts;
    const { certificate, privateKey } = await createAuthority({ clusterId, clock, random });
    await this.#command({ principal, rotateAuthority: { certificate, privateKey } }, deadlineMs);
    // Only now: a command whose outcome is unknown may still be proposed and applied from these very bytes.
    privateKey.fill(0);
    await this.#follow();
  }

  /** Drops the former CA. @throws HoldfastError INVALID_ARGUMENT with the members that are not ready */
  async finish({ principal, deadlineMs }: Asker): Promise<void> {
    await this.#command({ principal, finishAuthorityRotation: this.#step() }, deadlineMs);
    await this.#follow();
  }

  /** Trusts what the state names, durably. Never rejects: it is tried again at the next tick. */
  async #follow(): Promise<void> {
    const { store, credentials, clock, logger, onTrusted } = this.#parts;
    const authority = this.decided;
    const isDone = authority === this.#trusted && clock.wallMs() <= this.#formerEndsMs;
    if (authority === null || isDone || this.#isTrusting) return;
    this.#isTrusting = true;
    try {
      await credentials.trust(trustedCertificates(authority), store.authorityIndex);
      this.#trusted = authority;
      const { former } = credentials.now;
      this.#formerEndsMs =
        former === null ? Number.POSITIVE_INFINITY : Date.parse(readCertificate(former).validTo);
      onTrusted();
    } catch (thrown) {
      const { code, message: reason } = toHoldfastError(thrown);
      logger.error({ code, reason }, 'the CAs to be trusted could not be written down; it is tried again');
    } finally {
      this.#isTrusting = false;
    }
  }

  /** Never rejects: what was not taken is proposed again at the next tick, by whoever leads then. */
  async #lead(): Promise<void> {
    const { store, clock, logger } = this.#parts;
    if (store.authority === null || this.#isStepping) return;
    const { phase, missing, other } = this.view();
    if (phase !== 'announced' || missing.length > 0) return;
    this.#isStepping = true;
    try {
      const principal = { kind: 'node', name: 'leader', address: '' };
      const deadlineMs = clock.monotonicMs() + LIMITS.requestTimeoutMs;
      await this.#command({ principal, switchAuthority: this.#step() }, deadlineMs);
      logger.info({ authority: other }, 'every member trusts the next CA: it signs from now on');
    } catch (thrown) {
      const { code, message: reason } = toHoldfastError(thrown);
      logger.warn({ code, reason }, 'the change of the CA could not go on; it is tried again');
    } finally {
      this.#isStepping = false;
    }
  }

  #step(): { readonly certificateHash: Buffer; readonly confirmed: readonly string[] } {
    const { other, confirmed } = this.view();
    // Where there is no other CA, apply says what is wrong: it knows better than this node.
    return { certificateHash: Buffer.from(other ?? '00'.repeat(32), 'hex'), confirmed };
  }

  #authority(): AuthorityRow {
    return present(this.#parts.store.authority, 'cluster authority');
  }

  async #command(submission: Submission, deadlineMs: number): Promise<void> {
    const failure = outcomeFailure(await this.#parts.submit.submit(submission, deadlineMs));
    if (failure !== null) throw failure;
  }
}

function saidIn({ trustedAuthorities, ownAuthority }: TrustAnnouncement): SaidByMember {
  const hex = (hash: Uint8Array): string => Buffer.from(hash).toString('hex');
  return { trusted: new Set(trustedAuthorities.map(hex)), own: hex(ownAuthority) };
}
