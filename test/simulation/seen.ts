import type { LogIndex, NodeId, Term } from '../../src/base/ids.ts';
import type { Configuration } from '../../src/replication/raft/types.ts';
import type { WalBatch } from '../../src/replication/wal/types.ts';
import type { LogModel } from './observedWal.ts';

/** What is known of one machine from outside. */
export interface Seen {
  /** What a crash must leave at least. */
  durable: LogModel;
  /** Handed over and not durable yet. */
  pending: WalBatch[];
  /** What the core believes to have. */
  handed: LogModel;
  commit: LogIndex;
  term: Term;
  /** In force when it was last looked at. */
  configuration: Configuration;
  /** As leader: what it believed of whom. */
  matches: Map<NodeId, LogIndex>;
}

/** An entry as it was first seen to be committed. */
export interface Committed {
  readonly hash: string;
  readonly seenInTerm: Term;
}
