import { hasCommittedInTerm, maybeCommit } from './commit.ts';
import { applyConfigurationChange, enterJoint, isJoint } from './configuration.ts';
import { decodeConfigurationChange, encodeConfigurationChange } from './configurationCodec.ts';
import type { ConfigurationRefusal } from './options.ts';
import { syncPeers } from './peers.ts';
import { appendOwn } from './proposals.ts';
import { confirmReads } from './reads.ts';
import { becomeFollower } from './roles.ts';
import type { RaftState } from './state.ts';
import { expireTransfer } from './transfer.ts';
import type { Configuration, Entry, MemberChange, Place } from './types.ts';

function refusal(refused: ConfigurationRefusal['refused'], reason: string): ConfigurationRefusal {
  return { refused, reason };
}

/** Leader: proposes a joint configuration; it is left by itself once it is applied. Invariants 17 and 18. */
export function proposeConfiguration(
  state: RaftState,
  changes: readonly MemberChange[],
  context: (place: Place) => Uint8Array,
): Place | ConfigurationRefusal {
  if (state.role !== 'leader') return refusal('notLeader', 'this node does not lead');
  if (state.transfer !== null) return refusal('transferring', 'leadership is being handed over');
  if (!hasCommittedInTerm(state))
    return refusal('pending', 'the leader has committed nothing in its term yet');
  if (state.pendingConfigurationIndex > state.log.applied || isJoint(state.configuration)) {
    return refusal('pending', 'another membership change is not finished');
  }
  const outcome = enterJoint(state.configuration, changes);
  if (outcome.configuration === undefined) return refusal('invalid', outcome.invalid);
  const place = appendOwn(state, 'configuration', (at) =>
    encodeConfigurationChange({ changes, context: context(at) }),
  );
  state.pendingConfigurationIndex = place.index;
  return place;
}

/** The host has applied everything up to `index`: configurations among it are in force from here on. */
export function appliedTo(state: RaftState, index: number): void {
  const { log } = state;
  for (let next = log.applied + 1; next <= index; next += 1) {
    const entry = log.entryAt(next);
    if (entry?.type !== 'configuration') continue;
    log.appliedTo(next);
    activate(state, after(state.configuration, entry));
  }
  // A snapshot may have taken the state further meanwhile.
  if (index > log.applied) log.appliedTo(index);
  maybeLeaveJoint(state);
}

/** The configuration after `entry`. */
export function after(configuration: Configuration, entry: Entry): Configuration {
  return applyConfigurationChange(configuration, decodeConfigurationChange(entry.payload));
}

function activate(state: RaftState, configuration: Configuration): void {
  state.configuration = configuration;
  if (state.role !== 'leader') return;
  const counts =
    configuration.voters.includes(state.nodeId) || configuration.votersOutgoing.includes(state.nodeId);
  if (!counts) {
    // Invariant 40: removed or demoted, it has seen its own removal through.
    becomeFollower(state, state.term, null);
    return;
  }
  syncPeers(state);
  expireTransfer(state);
  // The new sets may need fewer answers than the old ones.
  maybeCommit(state);
  confirmReads(state);
}

/** Leader: leaves the joint configuration as soon as it is applied here, also one that an earlier leader entered. */
export function maybeLeaveJoint(state: RaftState): void {
  if (state.role !== 'leader' || state.transfer !== null) return;
  if (!isJoint(state.configuration) || !state.configuration.autoLeave) return;
  if (state.pendingConfigurationIndex > state.log.applied) return;
  const payload = encodeConfigurationChange({ changes: [], context: new Uint8Array(0) });
  state.pendingConfigurationIndex = appendOwn(state, 'configuration', () => payload).index;
}
