import { HoldfastError, toHoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Scheduler } from '../../base/scheduler.ts';
import type { StateSnapshot } from '../replicatedLog.ts';

type Rows = ReturnType<StateSnapshot['rows']>;

/**
 * One try to get a snapshot: what it waits for comes in time, or it is given up. While it is under way nothing is
 * applied, so a leader that lives and sends nothing, or is none any more, must not be waited for.
 */
export class SnapshotPull {
  readonly #scheduler: Scheduler;
  /** Why it was given up. */
  #aborted: HoldfastError | null = null;
  #onAbort: ((error: HoldfastError) => void) | null = null;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** What is waited for now, or next, rejects with it. */
  abort(error: HoldfastError): void {
    this.#aborted ??= error;
    this.#onAbort?.(this.#aborted);
  }

  throwIfAborted(): void {
    if (this.#aborted !== null) throw this.#aborted;
  }

  /** @throws HoldfastError UNAVAILABLE when it took too long; what `abort` was called with; as `coming` */
  async inTime<T>(coming: Promise<T>): Promise<T> {
    // What fails after it was given up is nobody's error.
    coming.catch(() => undefined);
    this.throwIfAborted();
    return await new Promise<T>((resolve, reject) => {
      const timer = this.#scheduler.after(LIMITS.snapshotChunkDeadlineMs, () =>
        settle(() => reject(new HoldfastError('UNAVAILABLE', 'the leader sends nothing of the snapshot'))),
      );
      const onAbort = (error: HoldfastError): void => settle(() => reject(error));
      const settle = (how: () => void): void => {
        timer.stop();
        if (this.#onAbort === onAbort) this.#onAbort = null;
        how();
      };
      this.#onAbort = onAbort;
      coming.then(
        (value) => settle(() => resolve(value)),
        (thrown: unknown) => settle(() => reject(toHoldfastError(thrown))),
      );
    });
  }

  /** Each portion in time. What the receiver does with one takes as long as it takes. */
  async *rows(rows: Rows): Rows {
    const portions = rows[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await this.inTime(portions.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      // Not waited for: it would come after a portion that may never come.
      portions.return?.().catch(() => undefined);
    }
  }

  /** Ends early when it is given up. */
  async pause(delayMs: number): Promise<void> {
    if (this.#aborted !== null) return;
    await new Promise<void>((resolve) => {
      const timer = this.#scheduler.after(delayMs, resolve);
      this.#onAbort = () => {
        timer.stop();
        resolve();
      };
    });
    this.#onAbort = null;
  }
}
