import type { LogIndex } from '../../base/ids.ts';
import { entryBytes } from './log.ts';
import { quorumReached } from './quorum.ts';
import type { RaftState } from './state.ts';

/** Moves the commit index; false when it is there already. */
export function commitTo(state: RaftState, index: LogIndex): boolean {
  const before = state.log.commit;
  if (!state.log.commitTo(index)) return false;
  if (state.role === 'leader') {
    for (let freed = before + 1; freed <= index; freed += 1) {
      const entry = state.log.entryAt(freed);
      if (entry !== null) state.uncommittedBytes -= entryBytes(entry);
    }
  }
  return true;
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
