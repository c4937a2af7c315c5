import type { Clock } from '../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import type { LogIndex } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';

export interface ReadPorts {
  readBarrier(deadlineMs: number): Promise<LogIndex>;
  appliedIndex(): LogIndex;
}

interface Waiting {
  readonly deadlineMs: number;
  readonly resolve: () => void;
  readonly reject: (error: HoldfastError) => void;
}

/**
 * THE read path: a linearizable read waits here until this node has applied everything that was acknowledged
 * before the read began. All reads that arrive in one event-loop turn share one barrier.
 */
export class Read {
  readonly #ports: ReadPorts;
  readonly #clock: Clock;
  #next: Waiting[] = [];
  #nextScheduled = false;
  /** Barrier passed, waiting for `index` to be applied here. */
  #behind: { readonly index: LogIndex; readonly readers: readonly Waiting[] }[] = [];
  #count = 0;

  constructor({ ports, clock }: { ports: ReadPorts; clock: Clock }) {
    this.#ports = ports;
    this.#clock = clock;
  }

  /** Resolves when this node's state is as new as the caller may demand. @throws HoldfastError NO_LEADER, DEADLINE_EXCEEDED, OVERLOADED */
  linearizable(deadlineMs: number): Promise<void> {
    if (this.#count >= LIMITS.waitingReadsMax) {
      return Promise.reject(
        new HoldfastError('OVERLOADED', 'too many reads wait at this node', { hint: 'try again' }),
      );
    }
    this.#count += 1;
    return new Promise((resolve, reject) => {
      this.#next.push({ deadlineMs, resolve, reject });
      if (this.#nextScheduled) return;
      this.#nextScheduled = true;
      setImmediate(() => {
        this.#nextScheduled = false;
        const readers = this.#next;
        this.#next = [];
        void this.#round(readers);
      });
    });
  }

  async #round(readers: readonly Waiting[]): Promise<void> {
    try {
      const deadlineMs = Math.max(...readers.map((reader) => reader.deadlineMs));
      const index = await this.#ports.readBarrier(deadlineMs);
      if (this.#ports.appliedIndex() >= index) this.#release(readers);
      else this.#behind.push({ index, readers });
    } catch (thrown) {
      const error = toHoldfastError(thrown);
      for (const reader of readers) this.#settle(() => reader.reject(error));
    }
  }

  #release(readers: readonly Waiting[]): void {
    const nowMs = this.#clock.monotonicMs();
    for (const reader of readers) {
      if (reader.deadlineMs >= nowMs) this.#settle(reader.resolve);
      else this.#settle(() => reader.reject(late()));
    }
  }

  #settle(answer: () => void): void {
    this.#count -= 1;
    answer();
  }

  /** The state machine has applied up to here. */
  applied(index: LogIndex): void {
    while (this.#behind.length > 0) {
      const first = this.#behind[0];
      if (first === undefined || first.index > index) return;
      this.#behind.shift();
      this.#release(first.readers);
    }
  }

  /** Called a few times a second: a node that does not catch up must not let its readers wait for ever. */
  sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#behind = this.#behind.flatMap(({ index, readers }) => {
      for (const reader of readers) if (reader.deadlineMs < nowMs) this.#settle(() => reader.reject(late()));
      const live = readers.filter((reader) => reader.deadlineMs >= nowMs);
      return live.length === 0 ? [] : [{ index, readers: live }];
    });
  }
}

function late(): HoldfastError {
  return new HoldfastError(
    'DEADLINE_EXCEEDED',
    'this node did not catch up with the log within the deadline',
    {
      hint: 'read from another node, or with a longer deadline',
    },
  );
}
