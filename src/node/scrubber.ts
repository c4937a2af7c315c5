import type { Clock } from '../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import type { Scheduler, Timer } from '../base/scheduler.ts';
import type { VerifiedLog } from '../replication/wal/verification.ts';
import type { ScrubbedState, ScrubPace } from '../store/scrub.ts';

export interface ScrubberParts {
  /** Null: nothing to look at now. Rejects with what it finds. */
  readonly scrubState: (pace: ScrubPace) => Promise<ScrubbedState | null>;
  readonly verifyLog: (pace: (bytes: number) => Promise<boolean>) => Promise<VerifiedLog>;
  /** Whether the node has better things to do now. */
  readonly isBusy: () => boolean;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
  /** The log on disk is damaged, or a disk does not give what it was given: the node must stop. */
  readonly onFatal: (error: HoldfastError) => void;
}

/** What the last pass was like. A pass that finds something stops the node, so this one found nothing. */
export interface ScrubReport {
  /** Wall time, milliseconds since 1970. */
  readonly finishedMs: number;
  readonly durationMs: number;
  readonly rows: number;
  readonly logSegments: number;
  /** Of state and log. */
  readonly bytes: number;
}

/**
 * Reads everything that this node keeps once a day, slowly, so that what a disk has lost is noticed while other nodes
 * still have it. One pass at a time; a crawl while the node is busy.
 */
export class Scrubber {
  readonly #parts: ScrubberParts;
  #timer: Timer | null = null;
  #stopped = false;
  #last: ScrubReport | null = null;
  #endWait: (() => void) | null = null;

  constructor(parts: ScrubberParts) {
    this.#parts = parts;
  }

  /** The last pass that went to its end, or null. */
  get last(): ScrubReport | null {
    return this.#last;
  }

  start(): void {
    this.#runAfter(Math.min(LIMITS.scrubFirstAfterMs, this.#parts.intervalMs));
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.stop();
    this.#endWait?.();
  }

  /** One pass. Never rejects. */
  async run(): Promise<void> {
    const { clock, logger, scrubState, verifyLog, onFatal } = this.#parts;
    const startedMs = clock.monotonicMs();
    const pace = this.#pace(startedMs);
    try {
      const state = await scrubState(pace);
      const log = await verifyLog((bytes) => pace({ rows: 0, bytes }));
      if (log.damage !== null) throw damagedLog(log.damage);
      if (this.#stopped || state === null || !state.whole) return;
      this.#last = {
        finishedMs: clock.wallMs(),
        durationMs: Math.round(clock.monotonicMs() - startedMs),
        rows: state.rows,
        logSegments: log.segments,
        bytes: state.bytes + log.bytes,
      };
      logger.info(this.#last, 'all that is on disk was read again, and is sound');
    } catch (thrown) {
      if (!this.#stopped) onFatal(toHoldfastError(thrown));
    }
  }

  #runAfter(delayMs: number): void {
    this.#timer = this.#parts.scheduler.after(delayMs, () => {
      void this.run().then(() => {
        if (!this.#stopped) this.#runAfter(this.#parts.intervalMs);
      });
    });
  }

  /** Waits until so much may have been read since `startedMs`; false once it is stopped. */
  #pace(startedMs: number): ScrubPace {
    const { clock, isBusy } = this.#parts;
    let [dueMs, began] = [startedMs, false];
    return async ({ rows, bytes }) => {
      // Slower, but not for ever: a node that is always busy is read again too.
      if (isBusy()) await this.#wait(LIMITS.scrubBusyWaitMs);
      const nowMs = clock.monotonicMs();
      if (began && dueMs > nowMs) await this.#wait(dueMs - nowMs);
      began = true;
      const takesMs = 1_000 * Math.max(rows / LIMITS.scrubRowsPerSecond, bytes / LIMITS.scrubBytesPerSecond);
      dueMs = Math.max(dueMs, clock.monotonicMs()) + takesMs;
      return !this.#stopped;
    };
  }

  #wait(delayMs: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#parts.scheduler.after(delayMs, resolve);
      this.#endWait = () => {
        timer.stop();
        resolve();
      };
    });
  }
}

function damagedLog(damage: string): HoldfastError {
  return new HoldfastError('LOG_CORRUPT', `the write-ahead log is damaged: ${damage}`, {
    hint: 'check the disk, and start the node again: it takes what is missing from the others',
  });
}
