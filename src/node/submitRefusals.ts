/** Why a write is turned away or given up. */
import { HoldfastError } from '../base/errors.ts';

/** Not applied. */
export function stopping(): HoldfastError {
  return new HoldfastError('UNAVAILABLE', 'this node is stopping', { hint: 'use another node' });
}

/** Not applied. */
export function overloaded(): HoldfastError {
  return new HoldfastError('OVERLOADED', 'too many writes wait at this node', {
    hint: 'slow down and try again',
  });
}

/** Not applied. */
export function noLeader(): HoldfastError {
  return new HoldfastError('NO_LEADER', 'no leader took the write within the deadline; it was not applied', {
    hint: 'see holdfast status: a majority of voters must be up and reach each other',
  });
}

/** May be applied. */
export function unknownOutcome(why: string): HoldfastError {
  return new HoldfastError('OUTCOME_UNKNOWN', `${why}; the write may or may not have happened`, {
    hint: 'send it again under the same request id, or read to find out',
  });
}
