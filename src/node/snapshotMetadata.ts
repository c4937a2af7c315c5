import type { HeadRow } from '../proto/storage.ts';
import type { Configuration, SnapshotMetadata } from '../replication/raft/types.ts';

/** What the log must know of a state that ends at this head. */
export function snapshotMetadata({ index, term, hash, configuration }: HeadRow): SnapshotMetadata {
  return { index, term, hash, configuration: (configuration ?? NO_ONE) as Configuration };
}

/** A state that no configuration has reached yet: a joiner's. */
const NO_ONE: Configuration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};
