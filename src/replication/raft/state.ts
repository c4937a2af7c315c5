import { assert } from '../../base/assert.ts';
import type { LogIndex, NodeId, Term } from '../../base/ids.ts';
import { checkConfiguration } from './configuration.ts';
import { Durability } from './durability.ts';
import { ForwardedReads } from './forwardedReads.ts';
import { RaftLog } from './log.ts';
import type { DropReason, RaftOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { ReadRounds } from './readRounds.ts';
import { becomeSuspect, type OwnSuspicion } from './suspicion.ts';
import type { Configuration, HardState, Message, Place, ReadState, Role, SnapshotMetadata } from './types.ts';

/** A leadership transfer under way. Invariant 21. */
export interface Transfer {
  readonly target: NodeId;
  readonly startedTick: number;
  sent: boolean;
}

/** All that one core knows. Changed by the functions of this folder, each file for its own subject. */
export class RaftState {
  readonly options: RaftOptions;
  readonly nodeId: NodeId;
  readonly log: RaftLog;
  readonly durability: Durability;

  /** Changed only in roles.ts. Invariant 1: never decreases. */
  term: Term;
  /** Changed only in roles.ts and when a vote is granted. Invariant 1: within a term only null -> x. */
  vote: NodeId | null;
  /** Changed only in roles.ts. */
  role: Role = 'follower';
  /** The leader of this term, as far as known. */
  leader: NodeId | null = null;

  /** The one at the applied index: it is in force from apply on. Changed only in membership.ts. */
  configuration: Configuration;
  /** The one at the log's base. */
  baseConfiguration: Configuration;
  /** Leader: no configuration entry of the log lies above this index. Invariant 17. */
  pendingConfigurationIndex: LogIndex = 0;

  /** How far an append of the leader of this term has been compared with this log; nothing when the term is another. */
  compared: Place = { index: 0, term: 0 };

  /** The last configuration entry that became committed since the start. Its commit is written, not only noticed. */
  committedConfigurationIndex: LogIndex = 0;

  /** A term in which a leader knew the commit index; the earliest one that is known. */
  commitTerm: Term;

  /** This node's log is suspect; null: it is sound. Changed only in suspicion.ts. */
  suspicion: OwnSuspicion | null = null;
  /** Leader: how often a member has turned out to be suspect or in doubt; across all terms. */
  suspicionsRaised = 0;

  /** Ticks since start; only differences mean something. */
  ticks = 0;
  /** Ticks since the leader was heard, a vote was granted, or (leader) the quorum was checked. */
  electionElapsed = 0;
  electionTimeout = 0;
  heartbeatElapsed = 0;

  /** Candidates: the answers so far. */
  readonly votes = new Map<NodeId, boolean>();
  /** Leader: every other member. */
  readonly peers = new Map<NodeId, Progress>();
  readonly readRounds = new ReadRounds();
  readonly forwardedReads: ForwardedReads;
  transfer: Transfer | null = null;
  /** Leader: bytes of entries above the commit index. */
  uncommittedBytes = 0;
  /** Leader: something may have to be sent; done once in ready(), so that much news makes one message. */
  replicationDue = false;

  /** A snapshot that the host was asked to pull and has not reported on. Invariant 20. */
  snapshotPending: { readonly from: NodeId; readonly index: LogIndex } | null = null;
  snapshotAnnounced = false;
  /** Invariant 20: nothing is applied before a snapshot has taken the place of the state that was lost. */
  stateMissing: boolean;
  /** The tick at which a snapshot was last asked for because the state is missing. */
  stateAskedTick: number | null = null;
  /** What the host has no room for; see `Raft.hold`. */
  held = { entries: false, committed: false };
  /** Installed but not yet handed out for writing. */
  snapshotToPersist: SnapshotMetadata | null = null;

  /** Depend on nothing that is not durable. */
  outgoing: Message[] = [];
  /** Invariant 11: votes, acks and rejections, which wait for the writes before them. */
  outgoingAfterPersist: Message[] = [];
  readStates: ReadState[] = [];
  readonly dropped = new Map<DropReason, number>();

  constructor(options: RaftOptions) {
    const { hardState, snapshot, entries, applied, configuration, stateMissing = false } = options.initial;
    const { suspectUntil = null } = options.initial;
    assert(
      !stateMissing || applied === snapshot.index,
      'I20: without a state nothing above the base is applied',
    );
    this.options = options;
    this.nodeId = options.nodeId;
    // The stored commit index may lag behind what was applied: it is written only along with other news.
    const commit = Math.max(hardState.commit, snapshot.index, applied);
    this.log = new RaftLog({
      base: { index: snapshot.index, term: snapshot.term, hash: snapshot.hash },
      entries,
      commit,
      applied: Math.max(applied, snapshot.index),
    });
    assert(
      this.log.last.term <= hardState.term,
      'I3: no stored entry is of a later term than the hard state',
    );
    for (const known of [configuration, snapshot.configuration]) {
      const invalid = known.voters.length === 0 ? null : checkConfiguration(known);
      assert(invalid === null, `I18: stored configuration: ${invalid ?? ''}`);
    }
    this.term = hardState.term;
    this.vote = hardState.vote;
    this.configuration = configuration;
    this.baseConfiguration = snapshot.configuration;
    this.durability = new Durability({ last: this.log.lastIndex, hardState: { ...hardState, commit } });
    this.stateMissing = stateMissing;
    this.forwardedReads = new ForwardedReads(options.random);
    this.commitTerm = hardState.term;
    if (suspectUntil !== null) becomeSuspect(this, suspectUntil);
  }

  /** The last index at which this log is known to equal that of this term's leader. */
  get comparedThrough(): LogIndex {
    return this.compared.term === this.term ? this.compared.index : 0;
  }

  /** Term, vote and commit as they are now; the commit index no further than what is on its way to the disk. */
  hardState(): HardState {
    return {
      term: this.term,
      vote: this.vote,
      commit: Math.min(this.log.commit, this.durability.handed),
    };
  }

  drop(reason: DropReason): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + 1);
  }

  /** Sends at once, unless the term that the message speaks for is not durable yet. */
  send(message: Message): void {
    if (message.type !== 'preVote' && this.durability.durable.term < message.term) {
      this.outgoingAfterPersist.push(message);
    } else {
      this.outgoing.push(message);
    }
  }

  /** Invariant 11: sends once everything up to here is durable. */
  sendAfterPersist(message: Message): void {
    this.outgoingAfterPersist.push(message);
  }
}
