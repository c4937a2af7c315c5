/** The only source of time. Tests inject a clock that they move by hand. */
export interface Clock {
  /** Wall time, milliseconds since 1970. May jump. */
  wallMs(): number;
  /** Milliseconds since some fixed point. Never goes back. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  #wallMs: number;
  #monotonicMs = 0;

  constructor(wallMs = 1_700_000_000_000) {
    this.#wallMs = wallMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  /** Time passes: both clocks go on. */
  advance(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
  }

  /** The wall clock is set; monotonic time does not notice. */
  jumpWall(ms: number): void {
    this.#wallMs += ms;
  }
}
