import type { LogIndex, NodeId, Term } from '../../base/ids.ts';

/** Where an entry stands in the replicated log. No two entries that were ever committed share a place. */
export interface Place {
  readonly index: LogIndex;
  readonly term: Term;
}

/**
 * `normal`: opaque bytes for the state machine. `configuration`: a ConfigurationChange in its stored form.
 * `empty`: what a new leader commits first (Ongaro 2014, section 6.4); its payload is empty.
 */
export type EntryType = 'normal' | 'configuration' | 'empty';

export interface Entry extends Place {
  readonly type: EntryType;
  /** The bytes as stored and sent: sealed once before they were proposed, never encoded again. */
  readonly payload: Uint8Array;
  /** 32 bytes: SHA-256(hash of the entry before | term u64 | index u64 | type u8 | payload). Invariant 3. */
  readonly hash: Uint8Array;
}

/** What must be durable before any message that depends on it leaves (Raft, figure 2). */
export interface HardState {
  /** Invariant 1: never decreases, also across restarts. */
  readonly term: Term;
  /** Invariant 1: within one term changes only from null to a node. */
  readonly vote: NodeId | null;
  /** Invariant 4: never decreases; restored as at least the snapshot's index. */
  readonly commit: LogIndex;
}

/** Who counts (Ongaro 2014, section 4.3). Invariant 18: see configuration.ts. */
export interface Configuration {
  readonly voters: readonly NodeId[];
  /** The outgoing voters while joint, else empty. */
  readonly votersOutgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** Outgoing voters that become learners when the joint configuration is left. */
  readonly learnersNext: readonly NodeId[];
  /** The leader leaves the joint configuration by itself as soon as it is applied. */
  readonly autoLeave: boolean;
}

export type MemberRole = 'voter' | 'learner';

export type MemberChange =
  | { readonly kind: 'set'; readonly nodeId: NodeId; readonly role: MemberRole }
  | { readonly kind: 'remove'; readonly nodeId: NodeId };

/** The payload of a configuration entry. Empty `changes` leaves a joint configuration. */
export interface ConfigurationChange {
  readonly changes: readonly MemberChange[];
  /** Opaque to Raft: the member's name and addresses, sealed by the host for the entry's place. */
  readonly context: Uint8Array;
}

/** The end of the log that a snapshot stands for. */
export interface SnapshotMetadata extends Place {
  /** The hash of the entry at `index`, so that the chain goes on. */
  readonly hash: Uint8Array;
  readonly configuration: Configuration;
}

/** Leader to a member: what that has to hold, or else is not counted (suspicion.ts). */
export interface SuspicionNotice {
  /** The mark that the member named last; 0: it has named none. */
  readonly mark: number;
  readonly through: LogIndex;
}

interface Routed {
  readonly from: NodeId;
  readonly to: NodeId;
  /** The sender's term; for a pre-vote the term that it would campaign in. */
  readonly term: Term;
}

/** Everything that nodes' cores say to each other. */
export type Message =
  | (Routed & {
      readonly type: 'append';
      readonly previous: Place;
      /** Hash of the entry at `previous.index`: equal place with another hash is corruption, and stops the receiver. */
      readonly previousHash: Uint8Array;
      readonly entries: readonly Entry[];
      readonly commit: LogIndex;
      /** Only to a member that is not counted, or in doubt. */
      readonly suspicion?: SuspicionNotice;
    })
  | (Routed & {
      readonly type: 'appendResponse';
      /**
       * Accepted: the last index now known to match. Rejected: the `previous.index` that did not match; 0, which always
       * matches, is rejected only by a node without any configuration, which has to start from a snapshot.
       */
      readonly index: LogIndex;
      readonly rejected: boolean;
      /** With a rejection: where the leader should look next (term and index of a possible match). */
      readonly hint: Place;
      /** Only while the sender's log is suspect: its mark. Nothing that it says counts. */
      readonly suspect?: number;
    })
  /**
   * Leader: how far the entries that it has sent are committed. Not answered; when it is lost, the next append or
   * heartbeat tells the same.
   */
  | (Routed & { readonly type: 'commit'; readonly commit: LogIndex })
  | (Routed & { readonly type: 'heartbeat'; readonly commit: LogIndex; readonly round: number })
  | (Routed & { readonly type: 'heartbeatResponse'; readonly round: number })
  | (Routed & {
      readonly type: 'vote' | 'preVote';
      readonly last: Place;
      /** Set by leadership transfer: overrides leader stickiness. */
      readonly transfer: boolean;
    })
  | (Routed & { readonly type: 'voteResponse' | 'preVoteResponse'; readonly rejected: boolean })
  /** The follower needs entries that the leader no longer has: it shall pull a snapshot at or above `index` from the leader. */
  | (Routed & { readonly type: 'snapshotOffer'; readonly index: LogIndex })
  /** The follower could not fetch or install what was offered; the leader probes again. */
  | (Routed & { readonly type: 'snapshotFailed'; readonly index: LogIndex })
  /** A follower asks for a read index; `requestId` is the follower's own counter, never reused while it runs. */
  | (Routed & { readonly type: 'readIndex'; readonly requestId: number })
  | (Routed & {
      readonly type: 'readIndexResponse';
      readonly requestId: number;
      readonly index: LogIndex;
      readonly rejected: boolean;
    })
  | (Routed & { readonly type: 'timeoutNow' })
  /** A follower (or the admin's node) asks the leader to hand over to `target`. */
  | (Routed & { readonly type: 'transferLeader'; readonly target: NodeId });

export type MessageType = Message['type'];

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** The outcome of a read barrier that this node asked for with `requestRead`. */
export interface ReadState {
  readonly requestId: number;
  /** Serve once applied >= index; null: no leader confirmed it, ask again with a new id. */
  readonly index: LogIndex | null;
}

/** What must become durable in ONE write before `messagesAfterPersist` may leave. */
export interface PersistBatch {
  /** Strictly increasing while the process runs; handed back in `persisted`. */
  readonly sequence: number;
  readonly hardState: HardState;
  /** First replaces the whole log by the snapshot, when present. */
  readonly snapshot: SnapshotMetadata | null;
  /** Contiguous. When the first index is at or below the last stored one, that suffix is cut in the same write. */
  readonly entries: readonly Entry[];
  /** Votes and acks that depend on this write (invariant 11). May be empty. */
  readonly messagesAfterPersist: readonly Message[];
}

/**
 * What the host has to do now. Its duties, in order:
 * 1. send `messages` (they depend on nothing that is not durable yet);
 * 2. persist each `persist` batch in sequence (several may be merged into one fdatasync), then send its
 *    `messagesAfterPersist`, then call `persisted(sequence)`;
 * 3. apply `committed` in order, each index exactly once, then call `applied(index)`;
 * 4. answer `reads`;
 * 5. when `snapshotWanted` is set, pull a snapshot from that node, verify it, install it beside the state and
 *    call `snapshotFetched`; on failure call `snapshotFailed`. A later `snapshotWanted` replaces an earlier one. Until
 *    then nothing is handed out to apply. When `snapshotFetched` returns true the host's state is the snapshot's from
 *    here on; when it returns false the host keeps its own.
 *
 * A crash between installing a snapshot and the write that replaces the log leaves a state ahead of its log: at start
 * the host then begins with a log whose base is the state's place, hash and configuration, and no entries.
 */
export interface Ready {
  readonly messages: readonly Message[];
  readonly persist: PersistBatch | null;
  readonly committed: readonly Entry[];
  readonly reads: readonly ReadState[];
  readonly snapshotWanted: { readonly from: NodeId; readonly index: LogIndex } | null;
}

/** What an outside observer may see; copied, never live. */
export interface RaftStatus {
  readonly nodeId: NodeId;
  readonly role: Role;
  readonly term: Term;
  /** The one on the disk: what a start would go on from at the least. Never falls (I1). */
  readonly durableTerm: Term;
  readonly vote: NodeId | null;
  readonly leader: NodeId | null;
  readonly commit: LogIndex;
  readonly applied: LogIndex;
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  /** Of the entry at `lastIndex`. */
  readonly lastHash: Uint8Array;
  /** This node's log has lost entries, perhaps up to here, and it is not counted; null: it is sound. */
  readonly suspectUntil: Place | null;
  readonly configuration: Configuration;
  readonly transferTarget: NodeId | null;
  readonly uncommittedBytes: number;
  /** Only at the leader. */
  readonly progress: readonly {
    readonly nodeId: NodeId;
    readonly match: LogIndex;
    readonly next: LogIndex;
    readonly state: 'probe' | 'replicate' | 'snapshot';
    /** Ticks since it was last heard, or was taken in. */
    readonly silentTicks: number;
    /** Silent for less than the shortest election timeout: it counts in the quorum check. */
    readonly reachable: boolean;
    /** Its acknowledgements do not count, and `match` is 0, until it has been replicated to anew. */
    readonly suspect: boolean;
  }[];
}
