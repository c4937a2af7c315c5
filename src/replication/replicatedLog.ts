import type { LogIndex, NodeId } from '../base/ids.ts';
import type {
  Configuration,
  ConfigurationChange,
  Entry,
  MemberChange,
  Place,
  RaftStatus,
  SnapshotMetadata,
} from './raft/types.ts';

export type ProposalRefusal = 'notLeader' | 'transferring' | 'overloaded' | 'stopped';
export type MembershipRefusal = ProposalRefusal | 'pending' | 'invalid';

/** Asks for `payload` once, when it has assigned the place. */
export type Seal = (place: Place) => Uint8Array;

/** The clocks of the voters, as one node has heard of them. */
export interface VoterClocks {
  /** This node included when it is a voter. */
  readonly voterCount: number;
  /** How far those of the other voters that were heard are ahead of ours, milliseconds. */
  readonly othersAheadMs: readonly number[];
}

/**
 * A totally ordered, durable log that sees only sealed bytes. Raft is one implementation; a second one on an
 * existing engine must be able to pass the same conformance suite, so nothing here names Raft's insides but `status`.
 */
export interface ReplicatedLog {
  /** Takes a place for a batch at once, or refuses. The entry may still be lost; then its place is committed otherwise. */
  propose(seal: Seal): { readonly place: Place } | { readonly refused: ProposalRefusal };
  /** A change of members; `seal` gives the change's context. Applied like any entry. */
  proposeMembership(
    changes: readonly MemberChange[],
    seal: Seal,
  ): { readonly place: Place } | { readonly refused: MembershipRefusal; readonly reason: string };
  /**
   * Resolves with an index: whoever reads after having applied it sees everything acknowledged before the call.
   * Batched. Rejects with NO_LEADER, OVERLOADED or DEADLINE_EXCEEDED.
   */
  readBarrier(deadlineMs: number): Promise<LogIndex>;
  transferLeadership(target: NodeId): void;
  status(): RaftStatus;
  voterClocks(): VoterClocks;
  /** The state machine's durable place has moved on: the log may forget what lies below, less a trailing window. */
  durable(metadata: SnapshotMetadata): void;
  /**
   * Forgets everything up to the state machine's durable place, whoever still needs it (a member that does takes a
   * snapshot), and begins a new segment: repeated when more is durable, it leaves no byte of earlier entries on the disk.
   * @throws HoldfastError DISK_FAILED, UNAVAILABLE
   */
  forget(): Promise<void>;
  /** Sends a follower's sealed commands to the leader. False: there is no leader, or its queue is full. */
  forward(forward: { readonly sequence: number; readonly envelope: Uint8Array }): boolean;
  close(): Promise<void>;
}

/** A committed entry as the state machine gets it, in order, each index once. */
export interface CommittedEntry extends Entry {
  /** Only for `configuration` entries. */
  readonly change: ConfigurationChange | null;
  /** The configuration in force once this entry is applied. */
  readonly configuration: Configuration;
}

/** Rows of a state, sealed as on disk, with what the log must know of them. */
export interface StateSnapshot {
  readonly metadata: SnapshotMetadata;
  readonly keyring: Uint8Array;
  rows(): AsyncIterable<readonly { readonly key: Uint8Array; readonly envelope: Uint8Array }[]>;
  close(): Promise<void>;
}

/** What the log drives. */
export interface StateMachine {
  /** Synchronous. Never throws but for what must stop the node. */
  apply(entry: CommittedEntry): void;
  /** So much of what was applied waits for the disk that no more is to be applied, until `ReplicatedLog.durable` tells of room. */
  isBehind(): boolean;
  /** A consistent snapshot at the durable applied index. */
  openSnapshot(): Promise<StateSnapshot>;
  /** Replaces the whole state, durably and after verification, or changes nothing and rejects. */
  installSnapshot(snapshot: StateSnapshot): Promise<void>;
  /** Role, term or known leader changed. */
  leadershipChanged(status: {
    readonly isLeader: boolean;
    readonly leader: NodeId | null;
    readonly term: number;
  }): void;
  /** A follower's sealed commands have arrived. False: not taken (not the leader, or full); the sender is told. */
  forwarded(forward: {
    readonly from: NodeId;
    readonly sequence: number;
    readonly envelope: Uint8Array;
  }): boolean;
  /** `from` did not take our forward, or says so. */
  forwardRefused(refusal: { readonly from: NodeId; readonly sequence: number }): void;
  /** Where a member listens for peers, or null when it is not known. */
  peerAddress(nodeId: NodeId): string | null;
}
