import type { Caller } from '../api/ports.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Scheduler } from '../base/scheduler.ts';

interface Waiting {
  readonly deadlineMs: number;
  readonly scan: () => void;
  readonly reject: (error: HoldfastError) => void;
}

/**
 * Scans of ranges, a bounded number of names in one turn of the event loop: a frame may ask for thousands of ranges, and a node
 * that goes over all names for each of them in one turn is silent for that time. Those that wait go on in later turns, of each
 * principal one after the other, so that whoever asks for many keeps nobody else waiting but for one of them.
 */
export class ScanTurns {
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #namesPerTurn: number;
  #namesLeft: number;
  #turnScheduled = false;
  /** By principal, the next to go on first. */
  readonly #waiting = new Map<string, Set<Waiting>>();
  #waitingCount = 0;

  constructor(options: {
    readonly clock: Clock;
    readonly scheduler: Scheduler;
    /** Default: LIMITS.scanNamesPerTurnMax. */
    readonly namesPerTurn?: number;
  }) {
    this.#clock = options.clock;
    this.#scheduler = options.scheduler;
    this.#namesPerTurn = options.namesPerTurn ?? LIMITS.scanNamesPerTurnMax;
    this.#namesLeft = this.#namesPerTurn;
  }

  /** How many scans wait for a turn. */
  get waitingCount(): number {
    return this.#waitingCount;
  }

  /**
   * What `scan` returns, or throws. It runs at once when there is room in this turn, and else in a later one, as a whole; it
   * says by `visited` how many names it has gone over.
   * @throws HoldfastError OVERLOADED, DEADLINE_EXCEEDED
   */
  run<Result>({ principal: { kind, name }, deadlineMs }: Caller, scan: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      const now = (): void => {
        try {
          resolve(scan());
        } catch (thrown) {
          reject(toHoldfastError(thrown));
        }
      };
      if (this.#namesLeft > 0 && this.#waitingCount === 0) now();
      else this.#add(`${kind} ${name}`, { deadlineMs, scan: now, reject });
    });
  }

  /** To be called by a scan: so many names were gone over, of this turn's. */
  visited(names: number): void {
    this.#namesLeft -= names;
    this.#scheduleTurn();
  }

  #add(who: string, waiting: Waiting): void {
    if (this.#waitingCount >= LIMITS.waitingReadsMax) {
      waiting.reject(
        new HoldfastError('OVERLOADED', 'too many reads wait at this node', { hint: 'try again' }),
      );
      return;
    }
    this.#waitingCount += 1;
    const others = this.#waiting.get(who);
    if (others === undefined) this.#waiting.set(who, new Set([waiting]));
    else others.add(waiting);
    this.#scheduleTurn();
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled) return;
    this.#turnScheduled = true;
    this.#scheduler.afterPoll(() => this.#turn());
  }

  #turn(): void {
    this.#turnScheduled = false;
    this.#namesLeft = this.#namesPerTurn;
    this.#rejectLate();
    while (this.#namesLeft > 0) {
      const [next] = this.#waiting;
      if (next === undefined) return;
      const [who, scans] = next;
      const [waiting] = scans;
      this.#waiting.delete(who);
      if (waiting === undefined) continue;
      scans.delete(waiting);
      this.#waitingCount -= 1;
      if (scans.size > 0) this.#waiting.set(who, scans);
      waiting.scan();
    }
    if (this.#waitingCount > 0) this.#scheduleTurn();
  }

  /** Nobody waits for their answers any more, and their callers may ask anew meanwhile. */
  #rejectLate(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [who, scans] of this.#waiting) {
      for (const waiting of scans) {
        if (waiting.deadlineMs >= nowMs) continue;
        scans.delete(waiting);
        this.#waitingCount -= 1;
        waiting.reject(new HoldfastError('DEADLINE_EXCEEDED', 'the read had no turn within the deadline'));
      }
      if (scans.size === 0) this.#waiting.delete(who);
    }
  }
}
