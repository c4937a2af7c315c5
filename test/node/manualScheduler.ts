import type { ManualClock } from '../../src/base/clock.ts';
import type { Scheduler } from '../../src/base/scheduler.ts';

/** Lets promises settle that wait for nothing else. */
export const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

/** Timers that run when the clock is moved. */
export class ManualScheduler implements Scheduler {
  readonly clock: ManualClock;
  timers: { dueMs: number; run: () => void }[] = [];

  constructor(clock: ManualClock) {
    this.clock = clock;
  }

  afterPoll(run: () => void): void {
    run();
  }

  after(delayMs: number, run: () => void): { stop: () => void } {
    const timer = { dueMs: this.clock.monotonicMs() + delayMs, run };
    this.timers.push(timer);
    return { stop: () => void (this.timers = this.timers.filter((one) => one !== timer)) };
  }

  every(): never {
    throw new Error('not used');
  }

  async advance(ms: number): Promise<void> {
    const endMs = this.clock.monotonicMs() + ms;
    for (;;) {
      await turns();
      const [next] = this.timers.filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      this.timers = this.timers.filter((one) => one !== next);
      this.clock.advance(Math.max(0, next.dueMs - this.clock.monotonicMs()));
      next.run();
    }
    this.clock.advance(endMs - this.clock.monotonicMs());
    await turns();
  }
}
