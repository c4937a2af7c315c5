import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { RareLines } from '../../base/rareLines.ts';
import { ZERO_HASH } from '../raft/entryHash.ts';
import type { Raft } from '../raft/raft.ts';
import type { Place } from '../raft/types.ts';
import type { WriteAheadLog } from '../wal/types.ts';

/** Keeps the mark beside the log, and the operator, in step with what the core thinks of this log and of others. */
export class TrustWatch {
  readonly #raft: Raft;
  readonly #wal: WriteAheadLog;
  readonly #logger: Logger;
  readonly #onFailed: (error: unknown) => void;
  readonly #lines: RareLines;
  /** As the core gave it last: it makes a new one for each suspicion. */
  #suspectUntil: Place | null;
  #suspicionsRaised = 0;

  constructor(options: {
    raft: Raft;
    wal: WriteAheadLog;
    clock: Clock;
    logger: Logger;
    onFailed: (error: unknown) => void;
  }) {
    this.#raft = options.raft;
    this.#wal = options.wal;
    this.#logger = options.logger;
    this.#onFailed = options.onFailed;
    this.#lines = new RareLines(options.clock);
    this.#suspectUntil = options.raft.suspectUntil;
  }

  /**
   * Called after each round of work. The mark may follow late: a crash before it is set leaves a node that is found out
   * anew, one before it is taken away a node that is replicated to once more.
   */
  look(): void {
    const until = this.#raft.suspectUntil;
    if (until !== this.#suspectUntil) this.#changed(until);
    const { suspicionsRaised } = this.#raft;
    if (suspicionsRaised === this.#suspicionsRaised) return;
    this.#suspicionsRaised = suspicionsRaised;
    const { progress } = this.#raft.status();
    const members = progress.filter(({ suspect }) => suspect).map(({ nodeId }) => nodeId);
    // A member may say so, and be believed anew, again and again.
    if (!this.#lines.isDue(members.join())) return;
    this.#logger.warn({ members }, 'members have lost entries; they do not count until they have them anew');
  }

  #changed(until: Place | null): void {
    this.#suspectUntil = until;
    const isDue = this.#lines.isDue(until === null ? 'trusted' : 'suspect');
    if (isDue && until === null)
      this.#logger.info({}, 'the log has been replicated anew; this node takes part again');
    else if (isDue)
      this.#logger.warn({ until }, 'the log lacks what it has acknowledged; this node does not count now');
    const mark = until === null ? null : { ...until, hash: ZERO_HASH };
    this.#wal.suspect(mark).catch((error: unknown) => this.#onFailed(error));
  }
}
