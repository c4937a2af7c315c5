import { LIMITS } from '../../base/limits.ts';
import { applicableThrough, maybeCommit } from './commit.ts';
import { onOwnVoteDurable } from './election.ts';
import { startReadRound } from './reads.ts';
import { flushReplication } from './replication.ts';
import type { RaftState } from './state.ts';
import { trustWhenDurable } from './suspicion.ts';
import type { Message, PersistBatch, Ready } from './types.ts';

/** Collects what the host has to do; null when there is nothing. */
export function takeReady(state: RaftState): Ready | null {
  startReadRound(state);
  flushReplication(state);
  const persist = takePersist(state);
  const messages = take(state, 'outgoing');
  const reads = state.readStates;
  state.readStates = [];
  // Invariant 20: no apply while a snapshot is on its way, since the state may be exchanged under it.
  const committed =
    state.snapshotPending === null && !state.stateMissing && !state.held.committed
      ? state.log.takeCommitted({
          stable: applicableThrough(state),
          bytesMax: state.options.appendBytesMax,
        })
      : [];
  const snapshotWanted = state.snapshotAnnounced ? null : state.snapshotPending;
  state.snapshotAnnounced = true;
  const idle =
    persist === null && snapshotWanted === null && messages.length + committed.length + reads.length === 0;
  return idle ? null : { messages, persist, committed, reads, snapshotWanted };
}

function take(state: RaftState, queue: 'outgoing' | 'outgoingAfterPersist'): Message[] {
  const messages = state[queue];
  state[queue] = [];
  return messages;
}

/** The next write, or null. When nothing is left to write, what waited for writes may go at once. */
function takePersist(state: RaftState): PersistBatch | null {
  const { log, durability } = state;
  const entries =
    durability.handed < log.lastIndex
      ? log.slice(durability.handed + 1, { through: log.lastIndex, bytesMax: LIMITS.walBatchBytesMax })
      : [];
  const snapshot = state.snapshotToPersist;
  const due = durability.hardStateDue(state.hardState(), state.committedConfigurationIndex);
  const news = entries.length > 0 || snapshot !== null || due;
  if (!news && (durability.idle || state.outgoingAfterPersist.length === 0)) {
    state.outgoing.push(...take(state, 'outgoingAfterPersist'));
    return null;
  }
  const last = durability.handed + entries.length;
  const hardState = { term: state.term, vote: state.vote, commit: Math.min(log.commit, last) };
  const sequence = durability.hand({ last, hardState });
  state.snapshotToPersist = null;
  // A batch that leaves entries behind proves nothing yet: the answers go with the last part.
  const messagesAfterPersist = last === log.lastIndex ? take(state, 'outgoingAfterPersist') : [];
  return { sequence, hardState, snapshot, entries, messagesAfterPersist };
}

/** A write came back: what it proves counts from now on (invariants 9, 11, 12). */
export function persisted(state: RaftState, sequence: number): void {
  if (!state.durability.persisted(sequence)) return;
  onOwnVoteDurable(state);
  trustWhenDurable(state);
  maybeCommit(state);
}
