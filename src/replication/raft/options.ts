import type { LogIndex, NodeId } from '../../base/ids.ts';
import type { RandomSource } from '../../base/random.ts';
import type { Configuration, Entry, HardState, Place, SnapshotMetadata } from './types.ts';

/** How a core is made. Defaults for all numbers: base/limits.ts. */
export interface RaftOptions {
  readonly nodeId: NodeId;
  /** Election timeouts are drawn from [min, max) ticks, anew at each change of role. */
  readonly electionTicksMin: number;
  readonly electionTicksMax: number;
  readonly heartbeatTicks: number;
  readonly random: RandomSource;
  /** Entry bytes in one append; one larger entry still travels alone. */
  readonly appendBytesMax: number;
  readonly inFlightMessagesMax: number;
  readonly inFlightBytesMax: number;
  /** Proposals are refused from here on; exceeded by one entry at most. */
  readonly uncommittedBytesMax: number;
  readonly pendingReadRoundsMax: number;
  readonly initial: RaftInitialState;
}

/** What was durable when the process started. */
export interface RaftInitialState {
  readonly hardState: HardState;
  /** Where the stored log starts; index 0, term 0 and ZERO_HASH for a whole log. */
  readonly snapshot: SnapshotMetadata;
  readonly entries: readonly Entry[];
  /** What the state machine holds. */
  readonly applied: LogIndex;
  /** The one at `applied`; NO_CONFIGURATION for a node that has not joined yet. */
  readonly configuration: Configuration;
  /**
   * The state machine's state is lost, the log is not. `applied` and `configuration` are those of `snapshot`; nothing is
   * applied and no election begins until a snapshot from a leader is in its place. Votes and acks are given as ever,
   * since they speak of the log alone. Default: false.
   */
  readonly stateMissing?: boolean;
  /** The log is SUSPECT (suspicion.ts): it has lost entries, perhaps up to this place. Default: null. */
  readonly suspectUntil?: Place | null;
}

export type ProposalRefusal = { readonly refused: 'notLeader' | 'transferring' | 'overloaded' };

export type ConfigurationRefusal = {
  readonly refused: 'notLeader' | 'transferring' | 'pending' | 'invalid';
  readonly reason: string;
};

/** `forwarded`: the leader was asked. `invalid`: the target is not another voter. */
export type TransferOutcome = 'started' | 'forwarded' | 'noLeader' | 'invalid';

/** Why a message had no effect. Counted, never thrown: peers may be old, cut off or broken. */
export type DropReason =
  | 'malformed'
  | 'misaddressed'
  | 'unknownSender'
  | 'termJump'
  | 'rivalLeader'
  | 'commitUnproven'
  | 'rewrite'
  | 'badConfiguration'
  | 'staleTerm'
  | 'sticky'
  | 'notLeader'
  | 'notExpected'
  | 'ackBeyondLog'
  | 'hashMismatch'
  | 'notPromotable'
  | 'overloaded';
