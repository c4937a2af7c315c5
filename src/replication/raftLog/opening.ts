import { HoldfastError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { votersOf } from '../raft/configuration.ts';
import { sameHash } from '../raft/entryHash.ts';
import type { RaftInitialState } from '../raft/options.ts';
import type { Configuration, HardState, SnapshotMetadata } from '../raft/types.ts';
import type { ChainEnd, WalBatch, WalContents } from '../wal/types.ts';

export interface Opening {
  /** To be written before anything else, when the log does not lead up to the state. */
  readonly restart: WalBatch | null;
  readonly initial: RaftInitialState;
}

/**
 * Brings log and state together after a stop at any instant.
 * - The state lies within the log and is the log's own: go on.
 * - The state lies past the log, or differs from an entry there that was not committed: a snapshot was installed
 *   and the log had not been restarted yet. It is restarted from the state now.
 * - The state lies before the log: entries between them are gone. Nothing here can mend that.
 * With a suspect log all this holds of its sound part; it stays suspect, also when it is restarted.
 * A state that is lost is no contradiction: the log goes on from its base, and the state comes from a leader.
 * @param applied the durable place of the state machine; index 0 for an empty one, null for one that is lost
 * @throws HoldfastError STATE_CORRUPT
 */
export function reconcile(contents: WalContents, applied: SnapshotMetadata | null): Opening {
  if (applied === null) return { restart: null, initial: withoutState(contents) };
  const { hardState, snapshot, entries } = contents;
  const suspectUntil = contents.suspicion?.until ?? null;
  if (applied.index < snapshot.index) {
    throw corrupt(`the state ends at ${applied.index}, but the log begins after ${snapshot.index}`);
  }
  const there = placeIn(contents, applied.index);
  const initial = { applied: applied.index, configuration: applied.configuration, suspectUntil };
  if (there !== null && there.term === applied.term && sameHash(there.hash, applied.hash)) {
    const commit = Math.max(hardState.commit, applied.index);
    return {
      restart: null,
      initial: { ...initial, hardState: { ...hardState, commit }, snapshot, entries },
    };
  }
  if (applied.index <= hardState.commit) {
    throw corrupt(`state and log hold different committed entries at ${applied.index}`);
  }
  const restarted = restartedFrom(applied, hardState);
  return { restart: restarted, initial: { ...initial, ...restarted } };
}

type Restart = WalBatch & { readonly snapshot: SnapshotMetadata };

/** A log that begins with the state. */
function restartedFrom(applied: SnapshotMetadata, { term, vote }: Omit<HardState, 'commit'>): Restart {
  const isLater = applied.term > term;
  const hardState = {
    term: isLater ? applied.term : term,
    vote: isLater ? null : vote,
    commit: applied.index,
  };
  return { hardState, snapshot: applied, entries: [] };
}

/**
 * `reconcile`, and what becomes of a suspect log that no leader can mend: the only voter has none but itself to be. Where
 * its state holds everything that the log may have held, nothing is lost: all that an only voter has applied is
 * committed. The log is restarted from the state then, and is not suspect any more.
 * @throws HoldfastError STATE_CORRUPT; LOG_CORRUPT for an only voter whose state lacks something
 */
export function openingOf({ walContents, applied, nodeId }: OpeningParts): Opening {
  const opening = reconcile(walContents, applied);
  const { suspicion = null, snapshot, entries, hardState } = walContents;
  if (suspicion === null || !isOnlyVoter(nodeId, opening.initial.configuration)) return opening;
  const { until, reason } = suspicion;
  if (applied === null || applied.index < Math.max(until.index, snapshot.index + entries.length)) {
    throw unmendable(reason);
  }
  const term = Math.max(until.term, hardState.term);
  const restart = restartedFrom(applied, term === hardState.term ? hardState : { term, vote: null });
  const { index, configuration } = applied;
  return { restart, initial: { applied: index, configuration, suspectUntil: null, ...restart } };
}

interface OpeningParts {
  readonly walContents: WalContents;
  readonly applied: SnapshotMetadata | null;
  readonly nodeId: NodeId;
}

function isOnlyVoter(nodeId: NodeId, configuration: Configuration): boolean {
  const [only, ...others] = votersOf(configuration);
  return only === nodeId && others.length === 0;
}

function unmendable(reason: string): HoldfastError {
  return new HoldfastError('LOG_CORRUPT', `the only voter has lost a part of its log: ${reason}`, {
    hint: 'no other node can give it back: keep a copy of the data directory, make a new cluster, and import what kv export has written',
  });
}

function withoutState({ hardState, snapshot, entries, suspicion }: WalContents): RaftInitialState {
  const commit = Math.max(hardState.commit, snapshot.index);
  return {
    hardState: { ...hardState, commit },
    snapshot,
    entries,
    applied: snapshot.index,
    configuration: snapshot.configuration,
    stateMissing: true,
    suspectUntil: suspicion?.until ?? null,
  };
}

function placeIn({ snapshot, entries }: WalContents, index: number): ChainEnd | null {
  if (index === snapshot.index) return snapshot;
  return entries[index - snapshot.index - 1] ?? null;
}

function corrupt(what: string): HoldfastError {
  return new HoldfastError('STATE_CORRUPT', what, {
    hint: 'remove this node from the cluster and join it again with an empty data directory',
  });
}
