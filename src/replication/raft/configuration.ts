import { assert, unreachable } from '../../base/assert.ts';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Configuration, ConfigurationChange, MemberChange } from './types.ts';

/** What a node has before it has learned of any configuration: it follows any leader and never campaigns. */
export const NO_CONFIGURATION: Configuration = Object.freeze({
  voters: Object.freeze([]),
  votersOutgoing: Object.freeze([]),
  learners: Object.freeze([]),
  learnersNext: Object.freeze([]),
  autoLeave: false,
});

export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0;
}

/** Whether the node counts in any quorum now. */
export function isVoter(configuration: Configuration, nodeId: NodeId): boolean {
  return configuration.voters.includes(nodeId) || configuration.votersOutgoing.includes(nodeId);
}

export function isMember(configuration: Configuration, nodeId: NodeId): boolean {
  return isVoter(configuration, nodeId) || configuration.learners.includes(nodeId);
}

/** Every voter of either set, once. */
export function votersOf(configuration: Configuration): NodeId[] {
  return [...new Set([...configuration.voters, ...configuration.votersOutgoing])];
}

/** Every node that the log is replicated to, once. */
export function membersOf(configuration: Configuration): NodeId[] {
  return [...votersOf(configuration), ...configuration.learners];
}

function sorted(nodes: Iterable<NodeId>): NodeId[] {
  return [...new Set(nodes)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

function overlaps(one: readonly NodeId[], other: readonly NodeId[]): boolean {
  return one.some((nodeId) => other.includes(nodeId));
}

/** Invariant 18: the first rule that the configuration breaks, or null. */
export function checkConfiguration(configuration: Configuration): string | null {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration;
  const lists = [voters, votersOutgoing, learners, learnersNext];
  if (voters.length === 0) return 'no voter is left';
  if (lists.some((list) => new Set(list).size !== list.length)) return 'a node is listed twice';
  if (overlaps(learners, voters)) return 'a node is a voter and a learner';
  if (overlaps(learners, votersOutgoing)) return 'a learner is an outgoing voter';
  if (overlaps(learnersNext, voters)) return 'a node is a voter and will be a learner';
  if (learnersNext.some((nodeId) => !votersOutgoing.includes(nodeId))) {
    return 'a future learner is not an outgoing voter';
  }
  if (autoLeave && votersOutgoing.length === 0) return 'leaves automatically but is not joint';
  if (voters.length > LIMITS.votersMax) return `more than ${LIMITS.votersMax} voters`;
  if (membersOf(configuration).length > LIMITS.membersMax) return `more than ${LIMITS.membersMax} members`;
  return null;
}

interface Draft {
  readonly voters: Set<NodeId>;
  readonly outgoing: readonly NodeId[];
  readonly learners: Set<NodeId>;
  readonly learnersNext: Set<NodeId>;
}

function applyChange(draft: Draft, change: MemberChange): string | null {
  const { nodeId } = change;
  const known = draft.voters.has(nodeId) || draft.learners.has(nodeId);
  switch (change.kind) {
    case 'remove':
      if (!known) return `node ${nodeId} is not a member`;
      draft.voters.delete(nodeId);
      draft.learners.delete(nodeId);
      return null;
    case 'set':
      if (change.role === 'voter') {
        if (draft.voters.has(nodeId)) return `node ${nodeId} is a voter already`;
        draft.learners.delete(nodeId);
        draft.voters.add(nodeId);
        return null;
      }
      if (draft.learners.has(nodeId)) return `node ${nodeId} is a learner already`;
      draft.voters.delete(nodeId);
      // An outgoing voter may not be a learner before it has left that set: it could count twice.
      (draft.outgoing.includes(nodeId) ? draft.learnersNext : draft.learners).add(nodeId);
      return null;
    default:
      return unreachable(change, 'member change');
  }
}

export type ConfigurationOutcome =
  | { readonly configuration: Configuration; readonly invalid?: never }
  | { readonly configuration?: never; readonly invalid: string };

/** The joint configuration that makes all `changes` at once (Ongaro 2014, section 4.3). Never from a joint one. */
export function enterJoint(current: Configuration, changes: readonly MemberChange[]): ConfigurationOutcome {
  if (isJoint(current)) return { invalid: 'a membership change is not finished' };
  if (changes.length === 0) return { invalid: 'no change is given' };
  if (new Set(changes.map((change) => change.nodeId)).size !== changes.length) {
    return { invalid: 'a node is changed twice' };
  }
  const draft: Draft = {
    voters: new Set(current.voters),
    outgoing: current.voters,
    learners: new Set(current.learners),
    learnersNext: new Set(),
  };
  for (const change of changes) {
    const invalid = applyChange(draft, change);
    if (invalid !== null) return { invalid };
  }
  const configuration: Configuration = {
    voters: sorted(draft.voters),
    votersOutgoing: sorted(draft.outgoing),
    learners: sorted(draft.learners),
    learnersNext: sorted(draft.learnersNext),
    autoLeave: true,
  };
  const invalid = checkConfiguration(configuration);
  return invalid === null ? { configuration } : { invalid };
}

/** The incoming half of a joint configuration alone. */
export function leaveJoint(current: Configuration): Configuration {
  assert(isJoint(current), 'I18: only a joint configuration is left');
  const configuration: Configuration = {
    voters: current.voters,
    votersOutgoing: [],
    learners: sorted([...current.learners, ...current.learnersNext]),
    learnersNext: [],
    autoLeave: false,
  };
  const invalid = checkConfiguration(configuration);
  assert(invalid === null, `I18: ${invalid ?? ''}`);
  return configuration;
}

/**
 * The configuration after a committed change. Committed changes are the same on every node, so one that does not fit
 * stops them all rather than letting them differ.
 * @throws InvariantViolation
 */
export function applyConfigurationChange(current: Configuration, change: ConfigurationChange): Configuration {
  if (change.changes.length === 0) return leaveJoint(current);
  const outcome = enterJoint(current, change.changes);
  assert(
    outcome.configuration !== undefined,
    `I18: a committed change does not fit: ${outcome.invalid ?? ''}`,
  );
  return outcome.configuration;
}
