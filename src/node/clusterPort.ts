import type { Area } from '../access/policy/policy.ts';
import type { Caller, ClusterPort } from '../api/ports.ts';
import type { AuditAction } from '../audit/record/actions.ts';
import { present } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import type {
  AddTokenRequest,
  AddTokenResponse,
  AuthorityStatus,
  BeginKeyChangeRequest,
  BeginKeyChangeResponse,
  ConfirmKeyChangeRequest,
  MemberStatus,
  RenewClientRequest,
  RenewClientResponse,
  StatusResponse,
  TokenListResponse,
} from '../proto/cluster.ts';
import type { Principal } from '../proto/storage.ts';
import { trustedCertificates } from '../store/authorityRotation.ts';
import { createJoinToken } from '../trust/joinToken.ts';
import { spkiHash } from '../trust/publicKey.ts';
import { askedRecord, noteAsked } from './askedRecord.ts';
import type { Authorisation } from './authorisation.ts';
import type { Certification } from './certification.ts';
import { renewClientCertificate } from './clientRenewal.ts';
import { NodeStatus, type NodeStatusParts } from './nodeStatus.ts';
import { outcomeFailure } from './outcome.ts';
import { authorityStatus } from './rotationView.ts';
import type { Submission } from './submit.ts';
import { toldMembers, toldStatus } from './toldStatus.ts';

export interface ClusterPortParts extends NodeStatusParts {
  readonly authorisation: Pick<Authorisation, 'administers' | 'readsAll' | 'requireAreaCaughtUp'>;
  readonly random: RandomSource;
  readonly certification: Pick<Certification, 'change' | 'issuer' | 'warnings'>;
}

const KEY_CHANGE_ID_BYTES = 8;

export class NodeClusterPort implements ClusterPort {
  readonly #parts: ClusterPortParts;
  readonly #status: NodeStatus;

  constructor(parts: ClusterPortParts) {
    this.#parts = parts;
    this.#status = new NodeStatus(parts);
  }

  /** Whoever is somebody is told something; how much, by what he administers. By the state as it is here. */
  status({ principal }: Caller): Promise<StatusResponse> {
    return Promise.resolve(toldStatus(this.#status.all(principal), this.#administers(principal)));
  }

  memberList({ principal }: Caller): Promise<{ readonly members: readonly MemberStatus[] }> {
    this.#requireLeader();
    const members = this.#status.members();
    return Promise.resolve({ members: toldMembers(members, this.#administers(principal)) });
  }

  async addToken(caller: Caller, request: AddTokenRequest): Promise<AddTokenResponse> {
    this.#requireLeader();
    const role = request.role === '' ? 'voter' : request.role;
    const ttlMs = request.ttlMs === 0 ? LIMITS.joinTokenTtlMs : request.ttlMs;
    const { store, random, core } = this.#parts;
    const authority = present(store.authority, 'cluster authority');
    // The leader first: joins end there.
    const members = store.members.toSorted((left, right) => rank(left.nodeId) - rank(right.nodeId));
    const addresses = members.slice(0, LIMITS.joinTokenAddressesTold).map((member) => member.peerAddress);
    const token = createJoinToken({ random, spkiHash: spkiHash(authority.certificate), addresses });
    await this.#command(caller, {
      principal: caller.principal,
      createToken: { id: token.id, secretHash: token.secretHash, role, ttlMs },
    });
    return { token: token.text, expiresMs: store.token(token.id)?.expiresMs ?? 0 };

    function rank(nodeId: string): number {
      return nodeId === core.leadership.leader ? 0 : 1;
    }
  }

  async tokenList(caller: Caller): Promise<TokenListResponse> {
    await this.#asLeader(caller, 'cluster');
    const { store, core } = this.#parts;
    const nowMs = core.logClock.stampMs();
    return {
      tokens: store.tokens.map(({ id, role, createdMs, expiresMs, nodeId }) => ({
        id,
        role,
        createdMs,
        expiresMs,
        expired: nowMs >= expiresMs,
        usedBy: nodeId,
        usedByName: store.member(nodeId)?.name ?? '',
      })),
    };
  }

  async revokeToken(caller: Caller, request: { readonly id: string }): Promise<void> {
    this.#requireLeader();
    await this.#command(caller, { principal: caller.principal, revokeToken: { id: request.id } });
  }

  async promoteMember(caller: Caller, request: { readonly member: string }): Promise<void> {
    await this.#asLeader(caller, 'cluster');
    await this.#noteAsked(caller, { action: 'member.promote', ...request });
    await this.#parts.core.membership.promote(request.member, caller.deadlineMs);
  }

  async demoteMember(caller: Caller, request: { readonly member: string }): Promise<void> {
    await this.#asLeader(caller, 'cluster');
    await this.#noteAsked(caller, { action: 'member.demote', ...request });
    await this.#parts.core.membership.demote(request.member, caller.deadlineMs);
  }

  async beginKeyChange(
    caller: Caller,
    { kind, encryption, source }: BeginKeyChangeRequest,
  ): Promise<BeginKeyChangeResponse> {
    this.#requireLeader();
    const id = this.#parts.random.bytes(KEY_CHANGE_ID_BYTES).toString('hex');
    const beginKeyChange = { id, kind, encryption, source };
    await this.#command(caller, { principal: caller.principal, beginKeyChange });
    return { id };
  }

  async confirmKeyChange(caller: Caller, { id, newFingerprint }: ConfirmKeyChangeRequest): Promise<void> {
    this.#requireLeader();
    const confirmKeyChange = { id, newFingerprint };
    await this.#command(caller, { principal: caller.principal, confirmKeyChange });
  }

  async abortKeyChange(caller: Caller, { id }: { readonly id: string }): Promise<void> {
    this.#requireLeader();
    await this.#command(caller, { principal: caller.principal, abortKeyChange: { id } });
  }

  async removeMember(
    caller: Caller,
    request: { readonly member: string; readonly force: boolean },
  ): Promise<void> {
    await this.#asLeader(caller, 'cluster');
    await this.#noteAsked(caller, { action: 'member.remove', ...request });
    await this.#parts.core.membership.remove(request.member, {
      force: request.force,
      deadlineMs: caller.deadlineMs,
    });
  }

  async transferLeadership(caller: Caller, request: { readonly member: string }): Promise<void> {
    await this.#asLeader(caller, 'cluster');
    const member = this.#parts.core.membership.find(request.member);
    if (
      !this.#parts.core
        .log()
        .status()
        .configuration.voters.includes(member.nodeId as NodeId)
    ) {
      throw new HoldfastError('INVALID_ARGUMENT', `${member.name} is a learner and cannot lead`, {
        field: 'member',
      });
    }
    await this.#noteAsked(caller, { action: 'leadership.transfer', ...request });
    this.#parts.core.log().transferLeadership(member.nodeId as NodeId);
  }

  async rotateAuthority(caller: Caller): Promise<AuthorityStatus> {
    this.#requireLeader();
    await this.#parts.certification.change.begin(caller);
    return this.authorityStatus(caller);
  }

  async finishAuthorityRotation(caller: Caller): Promise<AuthorityStatus> {
    this.#requireLeader();
    await this.#parts.certification.change.finish(caller);
    return this.authorityStatus(caller);
  }

  authorityStatus(_caller: Caller): Promise<AuthorityStatus> {
    this.#requireLeader();
    return Promise.resolve(authorityStatus(this.#parts.certification.change.view()));
  }

  async renewClient(
    caller: Caller,
    request: RenewClientRequest & { readonly shown: Uint8Array },
  ): Promise<RenewClientResponse> {
    this.#requireLeader();
    const { certification, store, core, identity } = this.#parts;
    const { submit, denials } = core;
    const parts = { issuer: certification.issuer, submit, denials, nodeId: identity.nodeId };
    const certificate = await renewClientCertificate(parts, caller, request);
    const authority = present(store.authority, 'cluster authority');
    return { certificate, authorities: trustedCertificates(authority) };
  }

  leaderApiAddress(): string | null {
    const { leader } = this.#parts.core.leadership;
    return leader === null ? null : (this.#parts.store.member(leader)?.apiAddress ?? null);
  }

  /**
   * For what no command is judged for when it is applied. A leader that has just been elected may not have applied what
   * another one committed: neither what is read here nor what was taken from the caller.
   */
  async #asLeader(caller: Caller, area: Area): Promise<void> {
    this.#requireLeader();
    await this.#parts.authorisation.requireAreaCaughtUp(caller, area);
    this.#requireLeader();
  }

  /** Who asks for what is no command is recorded before it is done; that it was done is recorded with its own entry. */
  async #noteAsked(
    { principal, deadlineMs }: Caller,
    {
      action,
      member,
      force = false,
    }: { readonly action: AuditAction; readonly member: string; readonly force?: boolean },
  ): Promise<void> {
    const { core, identity } = this.#parts;
    const { nodeId } = core.membership.find(member);
    const detail = force ? 'asked for, with force' : 'asked for';
    const record = askedRecord(principal, { action, resource: nodeId, detail });
    await noteAsked({ submit: core.submit, nodeId: identity.nodeId }, record, deadlineMs);
  }

  async #command(caller: Caller, submission: Submission): Promise<void> {
    const failure = outcomeFailure(await this.#parts.core.submit.submit(submission, caller.deadlineMs));
    if (failure !== null) throw failure;
  }

  #administers(principal: Principal): (area: Area) => boolean {
    return (area) => this.#parts.authorisation.administers(principal, area);
  }

  #requireLeader(): void {
    if (this.#parts.core.leadership.isLeader) return;
    throw new HoldfastError(
      this.#parts.core.leadership.leader === null ? 'NO_LEADER' : 'NOT_LEADER',
      this.#parts.core.leadership.leader === null
        ? 'the cluster has no leader now'
        : 'this node does not lead',
      { hint: 'ask the leader; clients follow by themselves' },
    );
  }
}
