import type { LogIndex, NodeId, Term } from '../../base/ids.ts';
import { dispatch } from './dispatch.ts';
import { campaign } from './election.ts';
import { admit, refuse } from './gate.ts';
import { after, appliedTo, proposeConfiguration } from './membership.ts';
import type {
  ConfigurationRefusal,
  DropReason,
  ProposalRefusal,
  RaftOptions,
  TransferOutcome,
} from './options.ts';
import { propose } from './proposals.ts';
import { requestRead } from './reads.ts';
import { persisted, takeReady } from './readying.ts';
import { retrySoon } from './roles.ts';
import { snapshotFailed, snapshotFetched } from './snapshots.ts';
import { RaftState } from './state.ts';
import { statusOf } from './status.ts';
import { tick } from './ticking.ts';
import { transferLeadership } from './transfer.ts';
import type {
  Configuration,
  MemberChange,
  Message,
  Place,
  RaftStatus,
  Ready,
  SnapshotMetadata,
} from './types.ts';

/**
 * One member of a Raft group (Ongaro and Ousterhout 2014) as a pure state machine: time comes in by `tick`, messages
 * by `step`, and everything to be done goes out by `ready`, whose duties are described at `Ready`. No I/O, no clock,
 * no promise. Throws InvariantViolation when going on could lose or fork data: the process must then stop.
 */
export class Raft {
  readonly #state: RaftState;

  constructor(options: RaftOptions) {
    this.#state = new RaftState(options);
    retrySoon(this.#state);
  }

  /** One unit of time passed. */
  tick(): void {
    tick(this.#state);
  }

  /**
   * A peer's message. What has no effect is counted in `dropped`.
   * @returns why nothing of it was looked at, when no peer in order sends such a message; else null
   */
  step(message: Message): DropReason | null {
    const refused = refuse(this.#state, message);
    if (refused !== null) this.#state.drop(refused);
    else if (admit(this.#state, message)) dispatch(this.#state, message);
    return refused;
  }

  /** Leader: one more entry. `payload` is called once, when the place is assigned; no place is ever assigned twice in a term. */
  propose(payload: (place: Place) => Uint8Array): Place | ProposalRefusal {
    return propose(this.#state, payload);
  }

  /** Leader: changes members through a joint configuration that is left by itself. One at a time. */
  proposeConfiguration(
    changes: readonly MemberChange[],
    context: (place: Place) => Uint8Array,
  ): Place | ConfigurationRefusal {
    return proposeConfiguration(this.#state, changes, context);
  }

  /** Asks for a read barrier; a ReadState with this id follows. `requestId` is never used twice. */
  requestRead(requestId: number): void {
    requestRead(this.#state, requestId);
  }

  /** Hands leadership to another voter, or asks the leader to do so. */
  transferLeadership(target: NodeId): TransferOutcome {
    return transferLeadership(this.#state, target);
  }

  /** Starts an election now, if this node may. */
  campaign(): void {
    campaign(this.#state, { transfer: false });
  }

  /** What to do now, or null. May be called while earlier writes are still under way. */
  ready(): Ready | null {
    return takeReady(this.#state);
  }

  /** The writes up to this sequence number are durable. */
  persisted(sequence: number): void {
    persisted(this.#state, sequence);
  }

  /** The state machine holds everything up to `index`. */
  applied(index: LogIndex): void {
    appliedTo(this.#state, index);
  }

  /** Invariant 41: until told otherwise, takes no new `entries` from a leader, and hands out nothing that is `committed`. */
  hold(held: { readonly entries: boolean; readonly committed: boolean }): void {
    this.#state.held = held;
  }

  /**
   * The wanted snapshot is here, verified.
   * @returns true: the core goes on from it, and so must the host's state; false: it is not ahead of what was applied
   */
  snapshotFetched(metadata: SnapshotMetadata): boolean {
    return snapshotFetched(this.#state, metadata);
  }

  /** The wanted snapshot could not be had; the leader will try something else. */
  snapshotFailed(): void {
    snapshotFailed(this.#state);
  }

  /** Drops entries up to `index` (at most the applied one) from memory. Members that need them get snapshots. */
  compact({ index }: { index: LogIndex }): void {
    const state = this.#state;
    for (const entry of state.log.compact(index)) {
      if (entry.type === 'configuration') state.baseConfiguration = after(state.baseConfiguration, entry);
    }
  }

  status(): RaftStatus {
    return statusOf(this.#state);
  }

  /** The part of the status that is asked for all the time. */
  get leadership(): { readonly isLeader: boolean; readonly leader: NodeId | null; readonly term: Term } {
    const { role, leader, term } = this.#state;
    return { isLeader: role === 'leader', leader, term };
  }

  /** Up to where this node's log may have lost entries while nothing that it says counts; null: it is sound. */
  get suspectUntil(): Place | null {
    return this.#state.suspicion?.until ?? null;
  }

  /** Leader: how often a member's acknowledgements stopped to count, since start. */
  get suspicionsRaised(): number {
    return this.#state.suspicionsRaised;
  }

  /** How many messages had no effect, by reason. */
  get dropped(): ReadonlyMap<DropReason, number> {
    return this.#state.dropped;
  }

  /** The configuration in force: the one at the applied index. */
  get configuration(): Configuration {
    return this.#state.configuration;
  }

  get commit(): LogIndex {
    return this.#state.log.commit;
  }

  /** The last index that is durable on this node. */
  get stableIndex(): LogIndex {
    return this.#state.durability.stable;
  }

  /** What the log in memory starts after, as a snapshot would describe it. */
  get base(): SnapshotMetadata {
    return { ...this.#state.log.base, configuration: this.#state.baseConfiguration };
  }

  /** The term of the entry at `index`; null when compacted away or not there yet. */
  termAt(index: LogIndex): Term | null {
    return this.#state.log.termAt(index);
  }

  /** The hash of the entry at `index`; null when compacted away or not there yet. */
  hashAt(index: LogIndex): Uint8Array | null {
    return this.#state.log.at(index)?.hash ?? null;
  }
}
