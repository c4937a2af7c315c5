import type { Scheduler } from '../base/scheduler.ts';

/** One wait at a time that somebody in a hurry can end; a hurry before it begins counts too, for one wait. */
export class HurriedWait {
  readonly #scheduler: Scheduler;
  #end: (() => void) | null = null;
  #hurried = false;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** Resolves after `ms`, or at the next `hurry`. */
  wait(ms: number): Promise<void> {
    if (this.#hurried) {
      this.#hurried = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const timer = this.#scheduler.after(ms, () => this.hurry());
      this.#end = () => {
        timer.stop();
        this.#end = null;
        resolve();
      };
    });
  }

  hurry(): void {
    if (this.#end === null) this.#hurried = true;
    else this.#end();
  }
}
