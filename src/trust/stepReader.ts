import { HoldfastError } from '../base/errors.ts';

/** The receiving half of a stream of a call, on either side. */
export interface StepSource<Step> {
  on(event: 'data', listener: (step: Step) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end' | 'close' | 'cancelled', listener: () => void): unknown;
}

interface Waiting<Step> {
  readonly resolve: (step: Step) => void;
  readonly reject: (error: Error) => void;
}

/**
 * What the other side says in a conversation of a few steps, one at a time. A step that nobody waits for yet is kept; a
 * second one ends the conversation, since nobody who keeps to the order sends it.
 */
export class StepReader<Step> {
  #kept: Step | null = null;
  #over: Error | null = null;
  #waiting: Waiting<Step> | null = null;

  constructor(source: StepSource<Step>) {
    source.on('data', (step) => this.#arrived(step));
    source.on('error', (error) => this.#end(error));
    for (const event of ['end', 'close', 'cancelled'] as const)
      source.on(event, () => this.#end(new HoldfastError('UNAVAILABLE', 'the conversation ended early')));
  }

  /** @throws HoldfastError DEADLINE_EXCEEDED, UNAVAILABLE, INVALID_ARGUMENT; on the calling side the call's ServiceError */
  async next(withinMs: number): Promise<Step> {
    if (this.#kept !== null) {
      const step = this.#kept;
      this.#kept = null;
      return step;
    }
    if (this.#over !== null) throw this.#over;
    const late = new HoldfastError('DEADLINE_EXCEEDED', `the other side said nothing for ${withinMs} ms`);
    const timer = setTimeout(() => this.#end(late), withinMs);
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting = { resolve, reject };
      });
    } finally {
      clearTimeout(timer);
    }
  }

  #arrived(step: Step): void {
    const waiting = this.#taken();
    if (waiting !== null) waiting.resolve(step);
    else if (this.#kept === null) this.#kept = step;
    else this.#end(new HoldfastError('INVALID_ARGUMENT', 'a step came before its turn'));
  }

  #end(error: Error): void {
    this.#over ??= error;
    this.#taken()?.reject(this.#over);
  }

  /** Who waits is answered once: what comes in the same turn is for the next one. */
  #taken(): Waiting<Step> | null {
    const waiting = this.#waiting;
    this.#waiting = null;
    return waiting;
  }
}
