import type { LogIndex } from '../../base/ids.ts';
import { entryBytes } from './log.ts';
import { quorumReached } from './quorum.ts';
import type { RaftState } from './state.ts';

/** Moves the commit index; false when it is there already. */
export function commitTo(state: RaftState, index: LogIndex): boolean {
  const before = state.log.commit;
  if (!state.log.commitTo(index)) return false;
  state.commitTerm = state.term;
  for (let committed = before + 1; committed <= index; committed += 1) {
    const entry = state.log.entryAt(committed);
    if (entry === null) continue;
    if (state.role === 'leader') state.uncommittedBytes -= entryBytes(entry);
    if (entry.type === 'configuration') state.committedConfigurationIndex = committed;
  }
  return true;
}

/**
 * How far entries may be handed out for applying. A configuration waits until this node's disk knows that it is
 * committed: after a crash the node must not fall back into the old sets, whose other members may be gone for good.
 */
export function applicableThrough(state: RaftState): LogIndex {
  const { durable, stable } = state.durability;
  return state.committedConfigurationIndex > durable.commit ? Math.min(stable, durable.commit) : stable;
}

/**
 * Leader: commits what a quorum of each active voter set holds durably, if that is of this term (Raft, section 5.4.2).
 * Invariant 9: this node counts only with what its own disk has confirmed.
 */
export function maybeCommit(state: RaftState): void {
  if (state.role !== 'leader') return;
  const reached = quorumReached(state.configuration, (voter) =>
    voter === state.nodeId ? state.durability.stable : (state.peers.get(voter)?.match ?? 0),
  );
  if (reached <= state.log.commit || state.log.termAt(reached) !== state.term) return;
  commitTo(state, reached);
  state.replicationDue = true;
}

/** Whether an entry of this term is committed: before that a leader knows neither the commit index nor the members. */
export function hasCommittedInTerm(state: RaftState): boolean {
  return state.log.termAt(state.log.commit) === state.term;
}
