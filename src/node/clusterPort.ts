import type { Area } from '../access/policy/policy.ts';
import type { Caller, ClusterPort } from '../api/ports.ts';
import type { AuditAction } from '../audit/record/actions.ts';
import { present } from '../base/assert.ts';
import { asBuffer } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import type { Sealer } from '../envelope/sealer.ts';
import type {
  AddTokenRequest,
  AddTokenResponse,
  AuthorityStatus,
  BeginKeyChangeRequest,
  BeginKeyChangeResponse,
  ConfirmKeyChangeRequest,
  KeyChangeStatus,
  MemberStatus,
  RenewClientRequest,
  RenewClientResponse,
  StatusResponse,
  TokenListResponse,
} from '../proto/cluster.ts';
import { trustedCertificates } from '../store/authorityRotation.ts';
import { membersOf } from '../store/keyChanges.ts';
import type { Store } from '../store/store.ts';
import type { NodeIdentityFile } from '../trust/identityFile.ts';
import { createJoinToken } from '../trust/joinToken.ts';
import { spkiHash } from '../trust/publicKey.ts';
import type { Alerts } from './alerts.ts';
import { askedRecord } from './askedRecord.ts';
import type { AuditSink } from './auditSink.ts';
import type { Authorisation } from './authorisation.ts';
import type { Certification } from './certification.ts';
import type { NodeCore } from './core.ts';
import type { KeyChange } from './keyChange/keyChange.ts';
import { outcomeFailure } from './outcome.ts';
import { authorityStatus } from './rotationView.ts';
import type { Scrubber } from './scrubber.ts';
import type { Submission } from './submit.ts';
import { isTakenOut, TAKEN_OUT_WARNING } from './takenOut.ts';

export interface ClusterPortParts {
  readonly identity: NodeIdentityFile;
  readonly store: Store;
  readonly core: NodeCore;
  readonly authorisation: Pick<Authorisation, 'readsAll' | 'requireAreaCaughtUp'>;
  readonly sealer: Sealer;
  readonly keyChange: Pick<KeyChange, 'driver' | 'rewriter' | 'keyFiles'>;
  /** Of the control key in force. */
  readonly controlKeyFingerprint: () => string;
  /** Of the JWT secret in force. */
  readonly jwtSecretFingerprint: () => string;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly version: string;
  readonly warnings: readonly string[];
  readonly certification: Pick<Certification, 'change' | 'issuer' | 'warnings'>;
  /** One sentence each, as things are now. */
  readonly divergedStates: () => readonly string[];
  readonly scrubber: Pick<Scrubber, 'last'>;
  /** Null: none is set. */
  readonly auditSink: Pick<AuditSink, 'status' | 'warnings'> | null;
  readonly alerts: Pick<Alerts, 'warnings'>;
}

const NOT_SCRUBBED = { finishedMs: 0, durationMs: 0, rows: 0, logSegments: 0, bytes: 0 };

const KEY_CHANGE_ID_BYTES = 8;

export class NodeClusterPort implements ClusterPort {
  readonly #parts: ClusterPortParts;
  readonly #startedMs: number;

  constructor(parts: ClusterPortParts) {
    this.#parts = parts;
    this.#startedMs = parts.clock.monotonicMs();
  }

  status({ principal }: Caller): Promise<StatusResponse> {
    // Both are computed from values: of two answers whoever may not read one could find it by trying.
    const digestOf = (bytes: Uint8Array): string =>
      this.#parts.authorisation.readsAll(principal) ? asBuffer(bytes).toString('hex') : '';
    const { identity, store, core, sealer, clock, version } = this.#parts;
    const raft = core.log().status();
    return Promise.resolve({
      clusterId: identity.clusterId,
      nodeId: identity.nodeId,
      name: identity.name,
      version,
      role: raft.role === 'preCandidate' ? 'candidate' : raft.role,
      term: raft.term,
      leader: raft.leader ?? '',
      commitIndex: raft.commit,
      appliedIndex: store.applied.index,
      durableIndex: store.durable.index,
      revision: store.revision,
      compactedRevision: store.compactedRevision,
      digest: digestOf(store.digest),
      encryption: sealer.keyring.encryption,
      controlKeyFingerprint: this.#parts.controlKeyFingerprint(),
      jwtSecretFingerprint: this.#parts.jwtSecretFingerprint(),
      logTimeMs: store.logTimeMs,
      wallTimeMs: clock.wallMs(),
      keys: store.size.liveKeys,
      watches: store.size.watches,
      members: this.#members(),
      warnings: this.#warnings(),
      uptimeMs: Math.round(clock.monotonicMs() - this.#startedMs),
      state: this.#state(),
      disk: {
        reserveBytes: core.reserve.reserveBytes,
        freeBytes: core.reserve.freeBytes ?? 0,
        low: core.reserve.low,
      },
      scrub: this.#parts.scrubber.last ?? NOT_SCRUBBED,
      log: {
        lastIndex: raft.lastIndex,
        lastHash: digestOf(raft.lastHash),
        suspect: raft.suspectUntil !== null,
        suspectUntil: raft.suspectUntil?.index ?? 0,
      },
      keyChange: keyChangeStatus(this.#parts),
      auditSink: this.#parts.auditSink?.status ?? null,
      fenced: core.fencing.members.map(({ nodeId, error, sinceMs }) => ({
        nodeId,
        name: store.member(nodeId)?.name ?? '',
        code: error.code,
        reason: error.message,
        hint: error.hint ?? '',
        sinceMs,
      })),
    });
  }

  memberList(_caller: Caller): Promise<{ readonly members: readonly MemberStatus[] }> {
    this.#requireLeader();
    return Promise.resolve({ members: this.#members() });
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
    { principal: { name } }: Caller,
    { csr, shown }: RenewClientRequest & { readonly shown: Uint8Array },
  ): Promise<RenewClientResponse> {
    this.#requireLeader();
    const { certification, store } = this.#parts;
    const certificate = await certification.issuer.reissueClient({ name, csr, shown });
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
    const node = { kind: 'node', name: identity.nodeId, address: '' };
    const outcome = await core.submit.submit(
      { principal: node, noteAudit: { records: [record] } },
      deadlineMs,
    );
    const failure = outcomeFailure(outcome);
    if (failure !== null) throw failure;
  }

  async #command(caller: Caller, submission: Submission): Promise<void> {
    const failure = outcomeFailure(await this.#parts.core.submit.submit(submission, caller.deadlineMs));
    if (failure !== null) throw failure;
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

  #members(): readonly MemberStatus[] {
    const { store, core, identity } = this.#parts;
    const raft = core.log().status();
    return store.members.map((member) => {
      const progress = raft.progress.find((one) => one.nodeId === member.nodeId);
      const itself = member.nodeId === identity.nodeId;
      return {
        nodeId: member.nodeId,
        name: member.name,
        peerAddress: member.peerAddress,
        apiAddress: member.apiAddress,
        role: raft.configuration.voters.includes(member.nodeId as NodeId) ? 'voter' : 'learner',
        leader: member.nodeId === raft.leader,
        matchIndex: itself ? raft.lastIndex : (progress?.match ?? 0),
        reachable: itself || (progress?.reachable ?? false),
        suspect: itself ? raft.suspectUntil !== null : (progress?.suspect ?? false),
      };
    });
  }

  #state(): string {
    if (this.#parts.store.missing !== null) return 'rebuilding';
    return this.#parts.core.guard.refusal === null ? 'sound' : 'undecided';
  }

  #warnings(): readonly string[] {
    const { leadership, logClock } = this.#parts.core;
    const { store, identity } = this.#parts;
    const { certification, divergedStates } = this.#parts;
    const warnings = [...this.#parts.warnings, ...certification.warnings, ...divergedStates()];
    warnings.push(...(this.#parts.auditSink?.warnings ?? []), ...this.#parts.alerts.warnings);
    if (store.missing !== null) {
      warnings.push(
        `the state of this node is being rebuilt from the leader, and nothing is read here meanwhile: ${store.missing}`,
      );
    }
    if (isTakenOut(store, identity.nodeId)) warnings.push(TAKEN_OUT_WARNING);
    const { suspectUntil } = this.#parts.core.log().status();
    if (suspectUntil !== null) {
      warnings.push(
        `the log of this node has lost entries, perhaps up to ${suspectUntil.index}: ` +
          'it neither votes nor counts until a leader has replicated them to it anew',
      );
    }
    const { guard, reserve, fencing } = this.#parts.core;
    const { rewriter, keyFiles } = this.#parts.keyChange;
    warnings.push(...guard.warnings, ...reserve.warnings, ...fencing.warnings);
    warnings.push(...rewriter.warnings, ...keyFiles.warnings);
    if (leadership.leader === null) warnings.push('no leader is known: writes and linearizable reads wait');
    if (leadership.isLeader && !logClock.trusted()) {
      warnings.push("this leader's clock is far ahead of the others, or too few were heard: check NTP");
    }
    return warnings;
  }
}

function keyChangeStatus({ store, keyChange: { driver } }: ClusterPortParts): KeyChangeStatus | null {
  const change = store.keyChange;
  if (change === null) return null;
  const { id, kind, phase, encryption, newFingerprint, previousFingerprint, confirmed } = change;
  const members = membersOf(store.configuration).map((nodeId) => {
    const known = change.members.find((member) => member.nodeId === nodeId);
    const { proved = false, counted = false, rewritten = 0, remaining = 0 } = known ?? {};
    return { nodeId, name: store.member(nodeId)?.name ?? '', proved, counted, rewritten, remaining };
  });
  const { startedMs, endedMs } = change;
  const texts = { id, kind, phase, encryption, newFingerprint, previousFingerprint };
  return { ...texts, confirmed, members, startedMs, endedMs, problems: driver.problems };
}
