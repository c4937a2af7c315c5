import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import type { RandomSource } from '../base/random.ts';
import { systemScheduler } from '../base/scheduler.ts';
import type { Announcement } from '../proto/peer.ts';
import type { Member } from '../proto/storage.ts';
import type { ReplicatedLog } from '../replication/replicatedLog.ts';
import type { Store } from '../store/store.ts';
import { NodeProcesses } from '../trust/nodeProcesses.ts';
import type { TrustAnnouncement } from './authorityChange.ts';
import { Denials } from './denials.ts';
import { DiskReserve, freeBytesOf } from './diskReserve.ts';
import { sealBatch, sealForward } from './entryPayload.ts';
import { Fencing } from './fencing.ts';
import { DATA_FORMAT } from './format.ts';
import { Leadership } from './leadership.ts';
import { LogClock } from './logClock.ts';
import { Membership } from './membership.ts';
import type { OpenedNode } from './openNode.ts';
import { Read } from './read.ts';
import { StateComparison } from './stateComparison.ts';
import { StateGuard } from './stateGuard.ts';
import { type KeyChangeHooks, NodeStateMachine } from './stateMachine.ts';
import { Submit } from './submit.ts';
import { TokenUses } from './tokenUses.ts';
import { TrustLog } from './trustLog.ts';

export interface CoreParts {
  readonly opened: OpenedNode;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly logger: Logger;
  /** What the join's answer said, until the log has told more. */
  readonly seeds: readonly Member[];
  /** This node's state is not that of the majority. */
  readonly onWrongState: (error: HoldfastError) => void;
  readonly reserveBytes: number;
  /** Default: what statfs says of the data directory. */
  readonly freeBytes?: () => Promise<number>;
}

const NO_KEY_CHANGE: KeyChangeHooks = {
  isDeciding: false,
  applied: () => undefined,
  leadershipChanged: () => undefined,
  stateReplaced: () => undefined,
};

/** What nodes tell each other of state, disk and processes. */
export type StateAnnouncement = Omit<Announcement, keyof TrustAnnouncement>;

/** Everything between the API's ports and the replicated log: the two ways, and what they lean on. */
export class NodeCore {
  readonly leadership = new Leadership();
  readonly logClock: LogClock;
  readonly submit: Submit;
  readonly read: Read;
  readonly denials: Denials;
  readonly tokenUses: TokenUses;
  readonly membership: Membership;
  readonly stateMachine: NodeStateMachine;
  readonly guard: StateGuard;
  readonly reserve: DiskReserve;
  /** Until the parts that change keys are there, nothing is known of them. */
  keyChange: KeyChangeHooks = NO_KEY_CHANGE;
  readonly trustLog: TrustLog;
  readonly fencing: Fencing;
  readonly processes: NodeProcesses;
  readonly #store: Store;
  readonly #seeds: ReadonlyMap<string, Member>;
  readonly #heardAddresses = new Map<NodeId, string>();
  #log: ReplicatedLog | null = null;

  constructor(parts: CoreParts) {
    const { opened, store, clock, random, logger, seeds } = parts;
    const { identity, sealer, keyring } = opened;
    this.#store = store;
    this.guard = this.#createGuard(parts);
    this.reserve = this.#createReserve(parts);
    this.trustLog = new TrustLog({ logger, clock, note: (denial) => this.denials.note(denial) });
    this.fencing = this.#createFencing(parts);
    this.processes = new NodeProcesses({ clock });
    this.#seeds = new Map(seeds.map((member) => [member.nodeId, member]));
    this.logClock = this.#createLogClock(parts);
    const stampMs = (): number => this.logClock.stampMs();
    this.submit = new Submit({
      clock,
      random,
      nodeId: identity.nodeId,
      ports: {
        isLeader: () => this.leadership.isLeader,
        propose: (batch) =>
          this.keyChange.isDeciding
            ? { refused: 'the key that seals it is being decided' }
            : this.log().propose((place) => sealBatch(sealer, batch, place)),
        forward: (commands, sequence) => {
          const { leader } = this.leadership;
          if (leader === null) return null;
          const envelope = sealForward(sealer, commands, { nodeId: identity.nodeId, sequence });
          return this.log().forward({ sequence, envelope }) ? leader : null;
        },
        stampMs,
        unflushedBytes: () => store.unflushedBytes,
        turnedAway: (submission) => this.guard.refusal ?? this.reserve.refusal(submission),
      },
    });
    const { nodeId } = identity;
    this.denials = this.#createDenials(parts);
    const nowMs = (): number => this.logClock.nowMs();
    this.tokenUses = new TokenUses({ nodeId, store, submit: this.submit, nowMs });
    this.read = new Read({
      clock,
      ports: {
        readBarrier: (deadlineMs) => this.log().readBarrier(deadlineMs),
        appliedIndex: () => store.applied.index,
      },
    });
    this.membership = new Membership({
      log: () => this.log(),
      sealer,
      clock,
      stampMs,
      members: () => store.members,
      isDeciding: () => this.keyChange.isDeciding,
    });
    this.stateMachine = new NodeStateMachine({
      nodeId: identity.nodeId,
      store,
      sealer,
      submit: this.submit,
      read: this.read,
      leadership: this.leadership,
      logClock: this.logClock,
      membership: this.membership,
      peers: { addressOf: (nodeId) => this.peerAddress(nodeId) },
      keyring,
      keyChange: () => this.keyChange,
      guard: this.guard,
      reserve: this.reserve,
      clock,
      logger,
    });
  }

  /** Ends what waits of requests, reads and changes of membership: none of it is answered by the log any more. */
  stopRequests(): void {
    this.submit.stop();
    this.read.stop();
    this.membership.stop();
  }

  #createDenials({ opened, clock, logger }: CoreParts): Denials {
    const { nodeId } = opened.identity;
    const scheduler = systemScheduler;
    return new Denials({ submit: this.submit, clock, nodeId, logger, scheduler });
  }

  #createFencing({ store, clock }: CoreParts): Fencing {
    return new Fencing({
      record: (event) => this.trustLog.record(event),
      nameOf: (nodeId) => this.#nameOf(nodeId),
      isRemoved: (nodeId) => store.isRemoved(nodeId),
      clock,
    });
  }

  #createLogClock({ store, clock }: CoreParts): LogClock {
    return new LogClock({
      clock,
      appliedTimeMs: () => store.logTimeMs,
      voterClocks: () => this.log().voterClocks(),
    });
  }

  #createGuard({ opened, store, clock, logger, onWrongState: onWrong }: CoreParts): StateGuard {
    const comparison = new StateComparison({
      nodeId: opened.identity.nodeId,
      format: DATA_FORMAT,
      clock,
      voters: () => this.#voters(),
      applied: () => (store.missing === null ? { index: store.applied.index, digest: store.digest } : null),
    });
    return new StateGuard({ comparison, clock, logger, nameOf: (nodeId) => this.#nameOf(nodeId), onWrong });
  }

  #createReserve({ opened, logger, reserveBytes, freeBytes }: CoreParts): DiskReserve {
    return new DiskReserve({
      nodeId: opened.identity.nodeId,
      reserveBytes,
      freeBytes: freeBytes ?? (() => freeBytesOf(opened.directory.root)),
      leader: () => this.leadership.leader,
      voters: () => this.#voters(),
      nameOf: (nodeId) => this.#nameOf(nodeId),
      logger,
    });
  }

  /** As applied; of either set. */
  #voters(): readonly NodeId[] {
    const { voters, votersOutgoing } = this.#store.configuration;
    return [...new Set([...voters, ...votersOutgoing])] as NodeId[];
  }

  #nameOf(nodeId: NodeId): string {
    return this.#store.member(nodeId)?.name ?? nodeId;
  }

  /** What this node tells all others about once a second. */
  announcement(): StateAnnouncement {
    const stateMissing = this.#store.missing !== null;
    const { durableTerm: term } = this.log().status();
    const { present: processes } = this.processes;
    return { checkpoints: this.guard.tick(), lowSpace: this.reserve.low, stateMissing, term, processes };
  }

  announcementHeard({ nodeId, announcement }: { nodeId: NodeId; announcement: StateAnnouncement }): void {
    this.processes.told(nodeId, announcement);
    this.reserve.heard(nodeId, announcement);
    if (announcement.stateMissing) this.guard.lost(nodeId);
    else this.guard.heard(nodeId, announcement.checkpoints);
  }

  /** The log, once it is open. */
  log(): ReplicatedLog {
    return present(this.#log, 'replicated log');
  }

  connect(log: ReplicatedLog): void {
    this.#log = log;
  }

  get connected(): boolean {
    return this.#log !== null;
  }

  /** Where a member listens for peers, as the log has told, or before that as the join's answer said. */
  peerAddress(nodeId: NodeId): string | null {
    const member = this.#store.member(nodeId) ?? this.#seeds.get(nodeId);
    return member?.peerAddress ?? this.#heardAddresses.get(nodeId) ?? null;
  }

  /** A node says where it listens: how one that is newer than our member table is answered. */
  addressHeard({ nodeId, address }: { readonly nodeId: NodeId; readonly address: string }): void {
    if (this.#store.member(nodeId) !== null) {
      this.#heardAddresses.delete(nodeId);
      return;
    }
    if (this.#heardAddresses.size < LIMITS.membersMax || this.#heardAddresses.has(nodeId)) {
      this.#heardAddresses.set(nodeId, address);
    }
  }

  /**
   * Whether a node of this cluster may speak to us: unless we know that it was removed. Our member table may be
   * older than its membership; the core judges what it says.
   */
  mayConnect(nodeId: NodeId): boolean {
    return !this.#store.isRemoved(nodeId);
  }
}
