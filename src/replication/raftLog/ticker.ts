import type { Clock } from '../../base/clock.ts';
import type { Scheduler, Timer } from '../../base/scheduler.ts';

/**
 * Calls `onTick` about every `tickMs`. After a stall the timer fires before the messages that came meanwhile are
 * read, and elections would start for leaders that are well (F6). So a late tick waits until the loop has polled
 * twice, and the ticks that were missed stay missed.
 */
export class Ticker {
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #tickMs: number;
  readonly #onTick: () => void;
  #timer: Timer | null = null;
  #lastMs = 0;
  #lateTicks = 0;
  #latePending = false;

  constructor(options: { clock: Clock; scheduler: Scheduler; tickMs: number; onTick: () => void }) {
    this.#clock = options.clock;
    this.#scheduler = options.scheduler;
    this.#tickMs = options.tickMs;
    this.#onTick = options.onTick;
  }

  /** How many ticks came after a stall of more than two. */
  get lateTicks(): number {
    return this.#lateTicks;
  }

  start(): void {
    this.#lastMs = this.#clock.monotonicMs();
    this.#timer = this.#scheduler.every(this.#tickMs, () => this.#fire());
  }

  stop(): void {
    this.#timer?.stop();
    this.#timer = null;
  }

  #fire(): void {
    const now = this.#clock.monotonicMs();
    const gapMs = now - this.#lastMs;
    this.#lastMs = now;
    if (this.#latePending) return;
    if (gapMs <= 2 * this.#tickMs) {
      this.#onTick();
      return;
    }
    this.#lateTicks += 1;
    this.#latePending = true;
    this.#scheduler.afterPoll(() =>
      this.#scheduler.afterPoll(() => {
        this.#latePending = false;
        if (this.#timer !== null) this.#onTick();
      }),
    );
  }
}
