import type { Clock } from '../../base/clock.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Scheduler } from '../../base/scheduler.ts';
import type { Watermark } from './watermark.ts';
import type { WatermarkFile } from './watermarkFile.ts';

export interface TailWatermarkOptions {
  readonly file: WatermarkFile;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  /** Whether the log has a write under way: another `note` will follow. */
  readonly isLogBusy: () => boolean;
  /** The disk refused; nothing is written any more. */
  readonly onFailed: (thrown: unknown) => void;
}

/**
 * Keeps the watermark close behind the log. It is told what is durable and writes that beside the log's own writes, one
 * write at a time, the newest only: while batch n is on its way to the disk, the end of batch n-1 is named, and when
 * nothing follows, that of the last batch. Both share the disk, so under full load it is written once a millisecond at
 * most. Nobody waits for it but who calls `settled`.
 */
export class TailWatermark {
  readonly #options: TailWatermarkOptions;
  #due: Watermark | null = null;
  #startPlanned = false;
  #running: Promise<void> | null = null;
  #writeStartedMs: number | null = null;
  #lastStartedMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: TailWatermarkOptions) {
    this.#options = options;
  }

  /** `watermark` is durable in the log by now. Written after what waits for that batch has been told. */
  note(watermark: Watermark): void {
    this.#due = watermark;
    this.#planStart();
  }

  /** Resolves when all that was noted is durable, or the disk has refused it. */
  async settled(): Promise<void> {
    while (!this.#stopped && (this.#running !== null || this.#due !== null)) await this.#run();
  }

  /** Settled, and then in every slot. For what must survive the loss of one. */
  async writeAll(watermark: Watermark): Promise<void> {
    this.note(watermark);
    await this.settled();
    this.note(watermark);
    await this.settled();
  }

  pendingWriteMs(): number {
    return this.#writeStartedMs === null ? 0 : this.#options.clock.monotonicMs() - this.#writeStartedMs;
  }

  /** `inOrder`: what was noted is written first. After a failure of the log nothing is. */
  async close({ inOrder }: { inOrder: boolean }): Promise<void> {
    if (inOrder) await this.settled();
    this.#stopped = true;
    await this.#running;
    await this.#options.file.close();
  }

  #planStart(): void {
    if (this.#running !== null || this.#startPlanned) return;
    this.#startPlanned = true;
    this.#options.scheduler.afterPoll(() => {
      this.#startPlanned = false;
      if (!this.#isTooSoon()) void this.#run();
    });
  }

  #isTooSoon(): boolean {
    const { clock, isLogBusy } = this.#options;
    return isLogBusy() && clock.monotonicMs() - this.#lastStartedMs < LIMITS.walWatermarkBusyMs;
  }

  async #run(): Promise<void> {
    if (this.#running === null && this.#due !== null && !this.#stopped) {
      this.#running = this.#write(this.#due);
      this.#due = null;
    }
    await this.#running;
  }

  async #write(watermark: Watermark): Promise<void> {
    const { file, clock, onFailed } = this.#options;
    this.#writeStartedMs = clock.monotonicMs();
    this.#lastStartedMs = this.#writeStartedMs;
    try {
      await file.write(watermark);
    } catch (thrown) {
      this.#stopped = true;
      onFailed(thrown);
    }
    this.#writeStartedMs = null;
    this.#running = null;
    if (this.#due !== null) this.#planStart();
  }
}
