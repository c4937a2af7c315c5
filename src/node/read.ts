import type { Clock } from '../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import type { LogIndex } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { type Scheduler, systemScheduler } from '../base/scheduler.ts';

export interface ReadPorts {
  readBarrier(deadlineMs: number): Promise<LogIndex>;
  appliedIndex(): LogIndex;
}

interface Waiting {
  readonly deadlineMs: number;
  readonly resolve: () => void;
  readonly reject: (error: HoldfastError) => void;
}

/** Readers that share a barrier. */
interface Round {
  /** Null until the barrier has answered; then what must be applied here. */
  index: LogIndex | null;
  readers: readonly Waiting[];
}

/**
 * THE read path: a linearizable read waits here until this node has applied everything that was acknowledged
 * before the read began. All reads that arrive in one event-loop turn share one barrier.
 */
export class Read {
  readonly #ports: ReadPorts;
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #rounds = new Set<Round>();
  #next: Waiting[] = [];
  #nextScheduled = false;
  #count = 0;
  #stopped = false;

  constructor(options: { readonly ports: ReadPorts; readonly clock: Clock; readonly scheduler?: Scheduler }) {
    this.#ports = options.ports;
    this.#clock = options.clock;
    this.#scheduler = options.scheduler ?? systemScheduler;
  }

  /** How many reads wait. */
  get waitingCount(): number {
    return this.#count;
  }

  /** Resolves when this node's state is as new as the caller may demand. @throws HoldfastError NO_LEADER, DEADLINE_EXCEEDED, OVERLOADED, UNAVAILABLE */
  linearizable(deadlineMs: number): Promise<void> {
    if (this.#stopped) return Promise.reject(stopping());
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
      this.#scheduler.afterPoll(() => {
        this.#nextScheduled = false;
        const readers = this.#next;
        this.#next = [];
        if (readers.length > 0) void this.#round(readers);
      });
    });
  }

  async #round(readers: readonly Waiting[]): Promise<void> {
    const round: Round = { index: null, readers };
    this.#rounds.add(round);
    const deadlineMs = readers.reduce((latest, reader) => Math.max(latest, reader.deadlineMs), 0);
    try {
      round.index = await this.#ports.readBarrier(deadlineMs);
      this.#finish(round, this.#ports.appliedIndex());
    } catch (thrown) {
      this.#rounds.delete(round);
      this.#reject(round.readers, toHoldfastError(thrown));
    }
  }

  #finish(round: Round, applied: LogIndex): void {
    if (round.index === null || round.index > applied) return;
    this.#rounds.delete(round);
    const nowMs = this.#clock.monotonicMs();
    const { readers } = round;
    round.readers = [];
    for (const reader of readers) {
      this.#count -= 1;
      if (reader.deadlineMs >= nowMs) reader.resolve();
      else reader.reject(late());
    }
  }

  #reject(readers: readonly Waiting[], error: HoldfastError): void {
    this.#count -= readers.length;
    for (const reader of readers) reader.reject(error);
  }

  /** The state machine has applied up to here. */
  applied(index: LogIndex): void {
    for (const round of this.#rounds) this.#finish(round, index);
  }

  /** Called a few times a second: no reader waits longer than it said, whatever it waits for. */
  sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const round of this.#rounds) {
      if (!round.readers.some((reader) => reader.deadlineMs < nowMs)) continue;
      const overdue = round.readers.filter((reader) => reader.deadlineMs < nowMs);
      round.readers = round.readers.filter((reader) => reader.deadlineMs >= nowMs);
      if (round.readers.length === 0) this.#rounds.delete(round);
      this.#reject(overdue, late());
    }
  }

  /** Ends every wait. */
  stop(): void {
    this.#stopped = true;
    const left = [...this.#rounds].flatMap(({ readers }) => readers).concat(this.#next);
    for (const round of this.#rounds) round.readers = [];
    this.#rounds.clear();
    this.#next = [];
    this.#reject(left, stopping());
  }
}

function stopping(): HoldfastError {
  return new HoldfastError('UNAVAILABLE', 'this node is stopping', { hint: 'use another node' });
}

function late(): HoldfastError {
  return new HoldfastError(
    'DEADLINE_EXCEEDED',
    'the read was not confirmed, or this node did not catch up with the log, within the deadline',
    {
      hint: 'read from another node, or with a longer deadline',
    },
  );
}
