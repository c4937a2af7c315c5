import { HoldfastError } from '../../base/errors.ts';
import type { WriteAheadLog } from '../wal/types.ts';
import type { RaftLogTiming } from './options.ts';

/**
 * How long a write of the log has not returned while this node could have heard of its end. It is counted in ticks: time
 * in which the whole process stood still says nothing of the disk.
 */
export class DiskStall {
  readonly #wal: Pick<WriteAheadLog, 'pendingWriteMs'>;
  readonly #timing: Pick<RaftLogTiming, 'tickMs' | 'electionTicksMin' | 'diskStallFatalMs'>;
  #countedMs = 0;

  constructor(options: {
    readonly wal: Pick<WriteAheadLog, 'pendingWriteMs'>;
    readonly timing: Pick<RaftLogTiming, 'tickMs' | 'electionTicksMin' | 'diskStallFatalMs'>;
  }) {
    this.#wal = options.wal;
    this.#timing = options.timing;
  }

  /** To be called every `tickMs`. */
  tick(): void {
    this.#countedMs = Math.min(this.#countedMs + this.#timing.tickMs, this.#wal.pendingWriteMs());
  }

  get #stalledMs(): number {
    return Math.min(this.#countedMs, this.#wal.pendingWriteMs());
  }

  /** So long that this node must not lead (F5). */
  get isLong(): boolean {
    const { electionTicksMin, tickMs } = this.#timing;
    return this.#stalledMs > electionTicksMin * tickMs;
  }

  /** So long that the node ends, or null. */
  get failure(): HoldfastError | null {
    if (this.#stalledMs <= this.#timing.diskStallFatalMs) return null;
    return new HoldfastError(
      'DISK_FAILED',
      `a write has not returned for ${Math.round(this.#stalledMs)} ms`,
      {
        hint: 'check the disk of the data directory before the node is started again',
      },
    );
  }
}
