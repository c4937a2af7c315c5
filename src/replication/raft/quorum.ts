import type { NodeId } from '../../base/ids.ts';
import type { Configuration } from './types.ts';

export type VoteResult = 'won' | 'lost' | 'pending';

/** The two voter sets that must both agree; the second is empty unless joint. */
type VoterSets = Pick<Configuration, 'voters' | 'votersOutgoing'>;

/** The highest number that a majority of `voters` has reached; Infinity when there are none (so that min() ignores it). */
export function majorityReached(voters: readonly NodeId[], reached: (voter: NodeId) => number): number {
  if (voters.length === 0) return Number.POSITIVE_INFINITY;
  const numbers = voters.map(reached).sort((a, b) => b - a);
  return numbers[Math.floor(numbers.length / 2)] ?? 0;
}

/** The highest number that a majority of each active voter set has reached; 0 without voters. */
export function quorumReached(sets: VoterSets, reached: (voter: NodeId) => number): number {
  if (sets.voters.length === 0) return 0;
  return Math.min(majorityReached(sets.voters, reached), majorityReached(sets.votersOutgoing, reached));
}

/** How the election stands in one voter set. Voters without an answer are still open. */
function majorityVote(voters: readonly NodeId[], votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  const needed = Math.floor(voters.length / 2) + 1;
  let granted = 0;
  let open = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) granted += 1;
    if (vote === undefined) open += 1;
  }
  if (granted >= needed) return 'won';
  return granted + open >= needed ? 'pending' : 'lost';
}

/** How the election stands: won needs a majority of each active voter set. Answers of others do not count. */
export function voteResult(sets: VoterSets, votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  const incoming = majorityVote(sets.voters, votes);
  if (sets.votersOutgoing.length === 0) return incoming;
  const outgoing = majorityVote(sets.votersOutgoing, votes);
  if (incoming === 'lost' || outgoing === 'lost') return 'lost';
  return incoming === 'won' && outgoing === 'won' ? 'won' : 'pending';
}
