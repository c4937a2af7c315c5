/** Which node to ask: what is known of the leader, and which addresses lately failed. */
import type { Clock } from '../base/clock.ts';
import type { AttemptFailure } from './failure.ts';

/** An address that could not be reached is left alone this long, while there are others. */
const SUSPECT_MS = 1_000;
/** Addresses learned from nodes; far more than a cluster has members. */
const LEARNED_MAX = 32;

export class Route {
  readonly #endpoints: readonly string[];
  readonly #clock: Clock;
  readonly #suspectUntilMs = new Map<string, number>();
  readonly #learned = new Set<string>();
  #cursor = 0;
  #leader: string | null = null;

  constructor(options: {
    readonly endpoints: readonly string[];
    readonly clock: Clock;
    readonly firstIndex: number;
  }) {
    this.#endpoints = options.endpoints;
    this.#clock = options.clock;
    this.#cursor = options.firstIndex;
  }

  get leader(): string | null {
    return this.#leader;
  }

  /** The address for a request to `to`: 'leader', 'any', or an address. */
  pick(to: string): string {
    if (to !== 'leader' && to !== 'any') return to;
    if (to === 'leader' && this.#leader !== null && !this.#isSuspect(this.#leader)) return this.#leader;
    const count = this.#endpoints.length;
    for (let step = 0; step < count; step += 1) {
      const endpoint = this.#endpoints[(this.#cursor + step) % count] ?? '';
      if (this.#isSuspect(endpoint)) continue;
      this.#cursor = (this.#cursor + step) % count;
      return endpoint;
    }
    for (const address of this.#learned) if (!this.#isSuspect(address)) return address;
    return this.#endpoints[this.#cursor % count] ?? '';
  }

  /** A node's address, for when none of the endpoints can be reached. */
  learn(address: string): void {
    if (address === '' || this.#endpoints.includes(address) || this.#learned.has(address)) return;
    if (this.#learned.size >= LEARNED_MAX) this.#learned.clear();
    this.#learned.add(address);
  }

  learnLeader(address: string): void {
    if (address === '') return;
    this.learn(address);
    this.#leader = address;
  }

  /** Takes note of a failure at `address`. */
  noteFailure(address: string, failure: AttemptFailure): void {
    if (!failure.answered) {
      this.#suspectUntilMs.set(address, this.#clock.monotonicMs() + SUSPECT_MS);
      this.#leave(address);
      return;
    }
    const { code } = failure.error;
    if (code === 'NOT_LEADER' || code === 'NO_LEADER' || code === 'UNAVAILABLE') this.#leave(address);
    if (failure.leader !== address) this.learnLeader(failure.leader);
  }

  noteSuccess(address: string): void {
    if (this.#suspectUntilMs.size > 0) this.#suspectUntilMs.delete(address);
  }

  #leave(address: string): void {
    if (this.#leader === address) this.#leader = null;
    if (this.#endpoints[this.#cursor] === address) this.#cursor = (this.#cursor + 1) % this.#endpoints.length;
  }

  #isSuspect(address: string): boolean {
    const untilMs = this.#suspectUntilMs.get(address);
    if (untilMs === undefined) return false;
    if (untilMs > this.#clock.monotonicMs()) return true;
    this.#suspectUntilMs.delete(address);
    return false;
  }
}
