import { assert } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';

const WINDOW = LIMITS.clientAnswersOutstandingMax;

/** The numbers of one registered client id: each given once, at most 1,024 from the lowest unanswered one up. */
export class ClientRegistration {
  readonly clientId: number;
  /** Ring over the window: 1 where the number is answered while a lower one is not. */
  readonly #answered = new Uint8Array(WINDOW);
  #next = 1;
  #floor = 1;

  constructor(clientId: number) {
    this.clientId = clientId;
  }

  /** The lowest number without an answer, or the next one when all are answered. */
  get floor(): number {
    return this.#floor;
  }

  /** The next number, or null while the window is full. */
  take(): number | null {
    if (this.#next - this.#floor >= WINDOW) return null;
    const number = this.#next;
    this.#next += 1;
    return number;
  }

  /** The caller has its answer, or has given up: the number is never sent again. */
  settle(number: number): void {
    assert(number >= this.#floor && number < this.#next, 'a request number is settled once');
    this.#answered[number % WINDOW] = 1;
    while (this.#floor < this.#next && this.#answered[this.#floor % WINDOW] === 1) {
      this.#answered[this.#floor % WINDOW] = 0;
      this.#floor += 1;
    }
  }
}
