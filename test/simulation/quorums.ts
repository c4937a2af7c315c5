import type { NodeId } from '../../src/base/ids.ts';
import type { Configuration } from '../../src/replication/raft/types.ts';

function holds(voters: readonly NodeId[], chosen: ReadonlySet<NodeId>): boolean {
  return voters.length === 0 || voters.filter((voter) => chosen.has(voter)).length * 2 > voters.length;
}

/** Whether these nodes decide: a majority of each set of voters. */
export function isQuorum(configuration: Configuration, chosen: ReadonlySet<NodeId>): boolean {
  return holds(configuration.voters, chosen) && holds(configuration.votersOutgoing, chosen);
}

/** Whether no two disjoint sets of nodes decide in one and in the other: by trying every set. */
export function quorumsMeet(one: Configuration, other: Configuration): boolean {
  const nodes = [
    ...new Set([...one.voters, ...one.votersOutgoing, ...other.voters, ...other.votersOutgoing]),
  ];
  for (let mask = 0; mask < 1 << nodes.length; mask += 1) {
    const chosen = new Set(nodes.filter((_, place) => (mask >> place) % 2 === 1));
    if (!isQuorum(one, chosen)) continue;
    const rest = new Set(nodes.filter((node) => !chosen.has(node)));
    if (isQuorum(other, rest)) return false;
  }
  return true;
}

/** I18: what no configuration may be; null when it is one. */
export function problemOf({ voters, votersOutgoing, learners, learnersNext }: Configuration): string | null {
  if (voters.length === 0) return 'nobody is left to vote';
  const voting = new Set([...voters, ...votersOutgoing]);
  if (learners.some((nodeId) => voting.has(nodeId))) return 'a learner votes';
  if (learnersNext.some((nodeId) => !votersOutgoing.includes(nodeId)))
    return 'a voter to be a learner is none that leaves';
  return null;
}
