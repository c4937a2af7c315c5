import { assert } from '../../base/assert.ts';
import { entryHash } from './entryHash.ts';
import { entryBytes } from './log.ts';
import type { ProposalRefusal } from './options.ts';
import type { RaftState } from './state.ts';
import type { EntryType, Place } from './types.ts';

/** Leader: puts one entry at the end of the log. Never refused here: empty entries must always get in (invariant 22). */
export function appendOwn(
  state: RaftState,
  type: EntryType,
  payloadFor: (place: Place) => Uint8Array,
): Place {
  assert(state.role === 'leader', 'only a leader appends entries of its own');
  const { last } = state.log;
  const place: Place = { index: last.index + 1, term: state.term };
  const payload = payloadFor(place);
  const entry = { ...place, type, payload, hash: entryHash(last.hash, place, type, payload) };
  state.log.append(entry);
  state.uncommittedBytes += entryBytes(entry);
  state.replicationDue = true;
  return place;
}

/** One entry for the state machine; `payload` is asked for once, when the place is sure. */
export function propose(state: RaftState, payload: (place: Place) => Uint8Array): Place | ProposalRefusal {
  if (state.role !== 'leader') return { refused: 'notLeader' };
  if (state.transfer !== null) return { refused: 'transferring' };
  if (state.uncommittedBytes >= state.options.uncommittedBytesMax) return { refused: 'overloaded' };
  return appendOwn(state, 'normal', payload);
}
