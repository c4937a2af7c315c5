import { asBuffer } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { NodeId } from '../base/ids.ts';
import type { Sealer } from '../envelope/sealer.ts';
import type { KeyChangeStatus, MemberStatus } from '../proto/cluster.ts';
import type { Principal } from '../proto/storage.ts';
import { membersOf } from '../store/keyChanges.ts';
import type { Store } from '../store/store.ts';
import type { NodeIdentityFile } from '../trust/identityFile.ts';
import type { Alerts } from './alerts.ts';
import type { AuditSink } from './auditSink.ts';
import type { Authorisation } from './authorisation.ts';
import type { Certification } from './certification.ts';
import type { NodeCore } from './core.ts';
import type { KeyChange } from './keyChange/keyChange.ts';
import type { Scrubber } from './scrubber.ts';
import { isTakenOut, TAKEN_OUT_WARNING } from './takenOut.ts';
import type { WholeStatus } from './toldStatus.ts';

export interface NodeStatusParts {
  readonly identity: NodeIdentityFile;
  readonly store: Store;
  readonly core: NodeCore;
  readonly authorisation: Pick<Authorisation, 'readsAll'>;
  readonly sealer: Sealer;
  readonly keyChange: Pick<KeyChange, 'driver' | 'rewriter' | 'keyFiles'>;
  /** Of the control key in force. */
  readonly controlKeyFingerprint: () => string;
  /** Of the JWT secret in force. */
  readonly jwtSecretFingerprint: () => string;
  readonly clock: Clock;
  readonly version: string;
  readonly warnings: readonly string[];
  readonly certification: Pick<Certification, 'warnings'>;
  /** One sentence each, as things are now. */
  readonly divergedStates: () => readonly string[];
  readonly scrubber: Pick<Scrubber, 'last'>;
  /** Null: none is set. */
  readonly auditSink: Pick<AuditSink, 'status' | 'warnings'> | null;
  readonly alerts: Pick<Alerts, 'warnings'>;
}

const NOT_SCRUBBED = { finishedMs: 0, durationMs: 0, rows: 0, logSegments: 0, bytes: 0 };

/** What a node knows of itself and of the others. */
export class NodeStatus {
  readonly #parts: NodeStatusParts;
  readonly #startedMs: number;

  constructor(parts: NodeStatusParts) {
    this.#parts = parts;
    this.#startedMs = parts.clock.monotonicMs();
  }

  /** All of it, but what this principal could find values by. */
  all(principal: Principal): WholeStatus {
    // Both are computed from values: of two answers whoever may not read one could find it by trying.
    const digestOf = (bytes: Uint8Array): string =>
      this.#parts.authorisation.readsAll(principal) ? asBuffer(bytes).toString('hex') : '';
    const { identity, store, core, sealer, clock, version } = this.#parts;
    const raft = core.log().status();
    const status = {
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
      members: this.members(),
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
    };
    return { status, auditWarnings: this.#auditWarnings() };
  }

  members(): readonly MemberStatus[] {
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

  #auditWarnings(): readonly string[] {
    const { auditSink, alerts } = this.#parts;
    return [...(auditSink?.warnings ?? []), ...alerts.warnings];
  }
}

function keyChangeStatus({ store, keyChange: { driver } }: NodeStatusParts): KeyChangeStatus | null {
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
