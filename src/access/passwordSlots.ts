import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

/** A password costs memory and a processor each time it is hashed: only a few at a time, and few wait for their turn. */
export class PasswordSlots {
  readonly #waiting: (() => void)[] = [];
  #busy = 0;

  /** @throws HoldfastError OVERLOADED, and what `work` rejects with */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#turn();
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#busy -= 1;
      else next();
    }
  }

  /** Whoever comes first is let in first; a slot goes from hand to hand. */
  #turn(): Promise<void> {
    if (this.#busy < LIMITS.passwordsAtOnceMax) {
      this.#busy += 1;
      return Promise.resolve();
    }
    if (this.#waiting.length >= LIMITS.passwordsWaitingMax) {
      throw new HoldfastError('OVERLOADED', 'too many passwords wait to be looked at by this node', {
        hint: 'try again in a moment, or at another node',
      });
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}
