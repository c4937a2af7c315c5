import type { LogIndex } from '../../base/ids.ts';
import type { Raft } from '../raft/raft.ts';
import type { WriteAheadLog } from '../wal/types.ts';
import type { CompactionWindow } from './compaction.ts';
import type { HeldLog } from './heldLog.ts';

export interface ReleasingParts {
  readonly raft: Raft;
  readonly window: CompactionWindow;
  readonly held: HeldLog;
  readonly wal: WriteAheadLog;
  /** What of the state is on disk, and applied. */
  readonly durable: LogIndex;
}

/** Lets go of the part of the log that nobody needs any more. */
export class Releasing {
  readonly #parts: ReleasingParts;
  #durable: LogIndex;

  constructor(parts: ReleasingParts) {
    this.#parts = parts;
    this.#durable = parts.durable;
  }

  /** The state on disk has moved on: what lies behind the window goes. @throws HoldfastError DISK_FAILED */
  async durable(index: LogIndex): Promise<void> {
    const { raft, window, held } = this.#parts;
    this.#durable = index;
    const target = window.target(index, () => held.neededFrom(raft.status().progress));
    if (target !== null) await this.#compact(target);
  }

  /** All up to the state on disk goes, whoever needs it, from the disk too. @throws HoldfastError DISK_FAILED */
  async all(): Promise<void> {
    const { raft, wal } = this.#parts;
    if (this.#durable > raft.base.index) await this.#compact(this.#durable);
    await wal.roll();
  }

  async #compact(target: LogIndex): Promise<void> {
    const { raft, window, wal } = this.#parts;
    raft.compact({ index: target });
    const { base } = raft;
    window.compacted(base.index);
    await wal.release(base);
  }
}
