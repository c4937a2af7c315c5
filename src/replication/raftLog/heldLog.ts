import type { LogIndex, NodeId } from '../../base/ids.ts';
import type { RaftStatus } from '../raft/types.ts';

type MemberProgress = RaftStatus['progress'];

/**
 * Leader: how much of the log members that are catching up still need. Without it, a member whose snapshot takes longer
 * than the trailing window lasts would find the log gone behind every snapshot, and pull one after the other for as long
 * as others write. Members that are silent are waited for no longer than `patienceTicks`.
 */
export class HeldLog {
  readonly #patienceTicks: number;
  readonly #heardAt = new Map<NodeId, number>();
  #ticks = 0;
  /** Where the first of the snapshots ends that were opened since a member began to need one. */
  #opened: LogIndex | null = null;

  constructor({ patienceTicks }: { readonly patienceTicks: number }) {
    this.#patienceTicks = patienceTicks;
  }

  /** `progress` is empty on who does not lead. */
  tick(progress: MemberProgress): void {
    this.#ticks += 1;
    for (const { nodeId, recentlyActive } of progress) {
      if (recentlyActive) this.#heardAt.set(nodeId, this.#ticks);
    }
    const members = new Set(progress.map(({ nodeId }) => nodeId));
    for (const nodeId of this.#heardAt.keys()) if (!members.has(nodeId)) this.#heardAt.delete(nodeId);
    if (progress.every(({ state }) => state !== 'snapshot')) this.#opened = null;
  }

  snapshotOpened(index: LogIndex): void {
    this.#opened ??= index;
  }

  /** All behind this is needed; infinite when nobody needs anything. */
  neededFrom(progress: MemberProgress): LogIndex {
    const needed = progress
      .filter(({ nodeId }) => this.#ticks - (this.#heardAt.get(nodeId) ?? -Infinity) <= this.#patienceTicks)
      .map(({ state, match }) => (state === 'snapshot' ? (this.#opened ?? Infinity) : match));
    return Math.min(...needed);
  }
}
