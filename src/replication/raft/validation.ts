import { sameHash, ZERO_HASH } from './entryHash.ts';
import type { Entry, Message, Place } from './types.ts';

function isCount(...values: number[]): boolean {
  return values.every((value) => Number.isSafeInteger(value) && value >= 0);
}

function isPlace(place: Place): boolean {
  return isCount(place.index, place.term);
}

/** The place of an entry, or the one before every log. */
function isStartOrEntry(place: Place): boolean {
  return isPlace(place) && place.index > 0 === place.term > 0;
}

function entriesFit(previous: Place, entries: readonly Entry[], term: number): boolean {
  let before = previous;
  for (const entry of entries) {
    const fits =
      entry.index === before.index + 1 &&
      entry.term >= before.term &&
      isCount(entry.index, entry.term) &&
      (entry.type !== 'empty' || entry.payload.length === 0) &&
      entry.hash.length === 32;
    if (!fits) return false;
    before = entry;
  }
  return before.term <= term;
}

/** Whether a peer's message has a possible shape (numbers in range, entries contiguous); says nothing about truth. */
export function isWellFormed(message: Message): boolean {
  if (!Number.isSafeInteger(message.term) || message.term < 1) return false;
  switch (message.type) {
    case 'append':
      return (
        isCount(message.commit) &&
        message.previousHash.length === 32 &&
        isStartOrEntry(message.previous) &&
        (message.previous.index > 0 || sameHash(message.previousHash, ZERO_HASH)) &&
        (message.suspicion === undefined || isCount(message.suspicion.mark, message.suspicion.through)) &&
        entriesFit(message.previous, message.entries, message.term)
      );
    case 'appendResponse':
      return isCount(message.index, message.suspect ?? 1) && message.suspect !== 0 && isPlace(message.hint);
    case 'commit':
      return isCount(message.commit);
    case 'heartbeat':
      return isCount(message.commit, message.round);
    case 'heartbeatResponse':
      return isCount(message.round);
    case 'vote':
    case 'preVote':
      return isStartOrEntry(message.last) && message.last.term <= message.term;
    case 'snapshotOffer':
    case 'snapshotFailed':
      return isCount(message.index);
    case 'readIndex':
      return isCount(message.requestId);
    case 'readIndexResponse':
      return isCount(message.requestId, message.index);
    case 'voteResponse':
    case 'preVoteResponse':
    case 'timeoutNow':
    case 'transferLeader':
      return true;
    default:
      return false;
  }
}
