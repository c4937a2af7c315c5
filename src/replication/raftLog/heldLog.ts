import type { LogIndex } from '../../base/ids.ts';
import type { RaftStatus } from '../raft/types.ts';

type MemberProgress = RaftStatus['progress'];

/**
 * Leader: how much of the log members that are catching up still need. Without it, a member whose snapshot takes longer
 * than the trailing window lasts would find the log gone behind every snapshot, and pull one after the other for as long
 * as others write. Members that are silent are waited for no longer than `patienceTicks`.
 */
export class HeldLog {
  readonly #patienceTicks: number;
  /** Where the first of the snapshots ends that were opened since a member began to need one. */
  #opened: LogIndex | null = null;

  constructor({ patienceTicks }: { readonly patienceTicks: number }) {
    this.#patienceTicks = patienceTicks;
  }

  /** `progress` is empty on who does not lead. */
  tick(progress: MemberProgress): void {
    if (progress.every(({ state }) => state !== 'snapshot')) this.#opened = null;
  }

  snapshotOpened(index: LogIndex): void {
    this.#opened ??= index;
  }

  /** All behind this is needed; infinite when nobody needs anything. */
  neededFrom(progress: MemberProgress): LogIndex {
    const needed = progress
      .filter(({ silentTicks }) => silentTicks <= this.#patienceTicks)
      .map(({ state, match }) => (state === 'snapshot' ? (this.#opened ?? Infinity) : match));
    return Math.min(...needed);
  }
}

/** The log is held so many longest election timeouts for a member that is not heard any more. */
const PATIENCE_TIMEOUTS = 3;

export function patienceTicks(electionTicksMax: number): number {
  return PATIENCE_TIMEOUTS * electionTicksMax;
}
