/** Something that will run, or goes on running, until it is stopped. */
export interface Timer {
  stop(): void;
}

/** When things run: the only source of turns and timers for code that simulations drive by hand. */
export interface Scheduler {
  /** Runs once, after the event loop has read what has arrived. In the order of the calls. */
  afterPoll(run: () => void): void;
  /** Runs once, `delayMs` from now at the earliest. */
  after(delayMs: number, run: () => void): Timer;
  /** Runs about every `periodMs`. */
  every(periodMs: number, run: () => void): Timer;
}

export const systemScheduler: Scheduler = {
  afterPoll: (run) => void setImmediate(run),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return { stop: () => clearTimeout(timer) };
  },
  every(periodMs, run) {
    const timer = setInterval(run, periodMs);
    return { stop: () => clearInterval(timer) };
  },
};

/** Resolves when the work, which never rejects, has ended, and at the latest after so long. */
export function endedWithin(scheduler: Scheduler, limitMs: number, work: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = scheduler.after(limitMs, resolve);
    void work.then(() => {
      timer.stop();
      resolve();
    });
  });
}

/** Resolves after the event loop has read what has arrived. */
export function polled(scheduler: Scheduler): Promise<void> {
  return new Promise((resolve) => scheduler.afterPoll(resolve));
}
