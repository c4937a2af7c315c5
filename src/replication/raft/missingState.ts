import type { NodeId } from '../../base/ids.ts';
import type { RaftState } from './state.ts';

/**
 * A node whose state is lost pulls one from the leader it hears, at or above the base of its own log, so that the log
 * goes on from there. One pull at a time, and a failed one not again before an election timeout has passed.
 */
export function askForState(state: RaftState, leader: NodeId): void {
  if (!state.stateMissing) return;
  const { snapshotPending: pending, stateAskedTick, ticks, options } = state;
  if (pending !== null && pending.from === leader) return;
  if (stateAskedTick !== null && ticks - stateAskedTick < options.electionTicksMin) return;
  state.stateAskedTick = ticks;
  state.snapshotPending = { from: leader, index: Math.max(1, state.log.base.index) };
  state.snapshotAnnounced = false;
}
