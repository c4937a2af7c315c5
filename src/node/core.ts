import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import type { RandomSource } from '../base/random.ts';
import type { Announcement } from '../proto/peer.ts';
import type { Member } from '../proto/storage.ts';
import type { ReplicatedLog } from '../replication/replicatedLog.ts';
import type { Store } from '../store/store.ts';
import { DiskReserve, freeBytesOf } from './diskReserve.ts';
import { sealBatch, sealForward } from './entryPayload.ts';
import { DATA_FORMAT } from './format.ts';
import { Leadership } from './leadership.ts';
import { LogClock } from './logClock.ts';
import { Membership } from './membership.ts';
import type { OpenedNode } from './openNode.ts';
import { Read } from './read.ts';
import { StateComparison } from './stateComparison.ts';
import { StateGuard } from './stateGuard.ts';
import { NodeStateMachine } from './stateMachine.ts';
import { Submit } from './submit.ts';

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

/** Everything between the API's ports and the replicated log: the two ways, and what they lean on. */
export class NodeCore {
  readonly leadership = new Leadership();
  readonly logClock: LogClock;
  readonly submit: Submit;
  readonly read: Read;
  readonly membership: Membership;
  readonly stateMachine: NodeStateMachine;
  readonly guard: StateGuard;
  readonly reserve: DiskReserve;
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
    this.#seeds = new Map(seeds.map((member) => [member.nodeId, member]));
    this.logClock = new LogClock({
      clock,
      appliedTimeMs: () => store.logTimeMs,
      voterCount: () => this.log().status().configuration.voters.length,
      offsets: () => this.log().clockOffsets(),
    });
    const stampMs = (): number => this.logClock.stampMs();
    this.submit = new Submit({
      clock,
      random,
      nodeId: identity.nodeId,
      ports: {
        isLeader: () => this.leadership.isLeader,
        propose: (batch) => this.log().propose((place) => sealBatch(sealer, batch, place)),
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
      guard: this.guard,
      reserve: this.reserve,
      clock,
      logger,
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
  announcement(): Announcement {
    const stateMissing = this.#store.missing !== null;
    return { checkpoints: this.guard.tick(), lowSpace: this.reserve.low, stateMissing };
  }

  announcementHeard({ nodeId, announcement }: { nodeId: NodeId; announcement: Announcement }): void {
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
