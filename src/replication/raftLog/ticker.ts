import type { Clock } from '../../base/clock.ts';
import type { Scheduler, Timer } from '../../base/scheduler.ts';

/**
 * Calls `onTick` once for every `tickMs` that passes, as nearly as the event loop allows: where the processor is scarce,
 * timers fire late all the time, and a clock that counted them would make every timeout of this node as much longer.
 *
 * After a stall the timer fires before the messages that came meanwhile are read, and elections would start for leaders
 * that are well (F6). So a late tick waits until the loop has polled twice; of a long stall, only `lateTicksMax` ticks
 * are made up for, and the others stay missed.
 */
export class Ticker {
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #tickMs: number;
  readonly #lateTicksMax: number;
  readonly #onTick: () => void;
  #timer: Timer | null = null;
  #lastMs = 0;
  /** Passed and not ticked yet; below zero where the last tick came early. */
  #owedMs = 0;
  #lateTicks = 0;
  #latePending = false;

  constructor(options: {
    clock: Clock;
    scheduler: Scheduler;
    tickMs: number;
    /** Far fewer than an election timeout has. */
    lateTicksMax: number;
    onTick: () => void;
  }) {
    this.#clock = options.clock;
    this.#scheduler = options.scheduler;
    this.#tickMs = options.tickMs;
    this.#lateTicksMax = options.lateTicksMax;
    this.#onTick = options.onTick;
  }

  /** How often the timer fired after a stall of more than two ticks. */
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
    this.#owedMs += gapMs;
    if (this.#latePending) return;
    if (gapMs <= 2 * this.#tickMs) {
      this.#catchUp();
      return;
    }
    this.#lateTicks += 1;
    this.#latePending = true;
    this.#scheduler.afterPoll(() =>
      this.#scheduler.afterPoll(() => {
        this.#latePending = false;
        this.#catchUp();
      }),
    );
  }

  #catchUp(): void {
    const owed = Math.round(this.#owedMs / this.#tickMs);
    const isTooMuch = owed > this.#lateTicksMax;
    this.#owedMs = isTooMuch ? 0 : this.#owedMs - owed * this.#tickMs;
    const due = isTooMuch ? this.#lateTicksMax : owed;
    for (let tick = 0; tick < due && this.#timer !== null; tick += 1) this.#onTick();
  }
}

/** A node that stood still makes up for so much of an election timeout: one part of these. */
const LATE_TICKS_SHARE = 5;

export function lateTicksMax(electionTicksMin: number): number {
  return Math.max(1, Math.floor(electionTicksMin / LATE_TICKS_SHARE));
}
