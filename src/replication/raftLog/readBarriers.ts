import type { Clock } from '../../base/clock.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { LogIndex } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { ReadState } from '../raft/types.ts';

interface Waiter {
  readonly deadlineMs: number;
  readonly resolve: (index: LogIndex) => void;
  readonly reject: (error: HoldfastError) => void;
}

/**
 * Collects the callers that wait for a read barrier. All that came before a request share it; nobody ever joins a
 * request that has left (F4). Each try has an id of its own.
 */
export class ReadBarriers {
  readonly #clock: Clock;
  readonly #request: (requestId: number) => void;
  #waiting: Waiter[] = [];
  readonly #asked = new Map<number, Waiter[]>();
  #count = 0;
  #lastId = 0;
  /** A request came back empty-handed: the next one waits for a tick, else the loop would spin without a leader. */
  #held = false;
  #stopped: HoldfastError | null = null;

  constructor(options: { clock: Clock; request: (requestId: number) => void }) {
    this.#clock = options.clock;
    this.#request = options.request;
  }

  add(deadlineMs: number): Promise<LogIndex> {
    if (this.#stopped !== null) return Promise.reject(this.#stopped);
    if (this.#count >= LIMITS.waitingReadsMax) {
      return Promise.reject(new HoldfastError('OVERLOADED', 'too many reads wait for the leader'));
    }
    if (deadlineMs <= this.#clock.monotonicMs()) {
      return Promise.reject(new HoldfastError('DEADLINE_EXCEEDED', 'the read came after its deadline'));
    }
    this.#count += 1;
    return new Promise((resolve, reject) => this.#waiting.push({ deadlineMs, resolve, reject }));
  }

  /** Sends one request for all who wait, if it is time. */
  ask(): void {
    if (this.#waiting.length === 0 || this.#held) return;
    if (this.#asked.size >= LIMITS.readRoundsInFlightMax) return;
    this.#lastId += 1;
    this.#asked.set(this.#lastId, this.#waiting);
    this.#waiting = [];
    this.#request(this.#lastId);
  }

  answer({ requestId, index }: ReadState): void {
    const waiters = this.#asked.get(requestId);
    if (waiters === undefined) return;
    this.#asked.delete(requestId);
    if (index === null) {
      this.#waiting = waiters.concat(this.#waiting);
      this.#held = true;
      return;
    }
    this.#count -= waiters.length;
    for (const waiter of waiters) waiter.resolve(index);
  }

  /** Lets tries go again and ends the wait of those whose time is up. */
  tick(options: { readonly leaderKnown: boolean }): void {
    this.#held = false;
    const now = this.#clock.monotonicMs();
    // Made when needed: this runs many times a second, and hardly ever is a read too late.
    const tooLate = (): HoldfastError =>
      options.leaderKnown
        ? new HoldfastError('DEADLINE_EXCEEDED', 'no leader confirmed the read in time')
        : new HoldfastError('NO_LEADER', 'no leader is known');
    this.#waiting = this.#expire(this.#waiting, now, tooLate);
    for (const [requestId, waiters] of this.#asked) {
      this.#asked.set(requestId, this.#expire(waiters, now, tooLate));
    }
  }

  stop(error: HoldfastError): void {
    this.#stopped = error;
    const all = [this.#waiting, ...this.#asked.values()].flat();
    this.#waiting = [];
    this.#asked.clear();
    this.#count = 0;
    for (const waiter of all) waiter.reject(error);
  }

  #expire(waiters: Waiter[], now: number, tooLate: () => HoldfastError): Waiter[] {
    if (!waiters.some((waiter) => waiter.deadlineMs <= now)) return waiters;
    const error = tooLate();
    const left: Waiter[] = [];
    for (const waiter of waiters) {
      if (waiter.deadlineMs > now) left.push(waiter);
      else waiter.reject(error);
    }
    this.#count -= waiters.length - left.length;
    return left;
  }
}
