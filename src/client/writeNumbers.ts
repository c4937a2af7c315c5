/** Gives writes their request ids: registers a client id before the first, and holds back what is over the window. */
import { type HoldfastError, toHoldfastError } from '../base/errors.ts';
import { isTransient } from './failure.ts';
import type { Outgoing } from './outgoing.ts';
import { ClientRegistration } from './registration.ts';

export class WriteNumbers {
  readonly #register: () => Promise<number>;
  readonly #ready: (outgoing: Outgoing) => void;
  readonly #refused: (outgoing: Outgoing, error: HoldfastError) => void;
  #waiting: Outgoing[] = [];
  #waitingHead = 0;
  #registration: ClientRegistration | null = null;
  #registering = false;

  constructor(options: {
    readonly register: () => Promise<number>;
    readonly ready: (outgoing: Outgoing) => void;
    readonly refused: (outgoing: Outgoing, error: HoldfastError) => void;
  }) {
    this.#register = options.register;
    this.#ready = options.ready;
    this.#refused = options.refused;
  }

  get clientId(): number | null {
    return this.#registration?.clientId ?? null;
  }

  /** Numbers the write now, or when there is a client id and room in its window. */
  admit(outgoing: Outgoing): void {
    this.#waiting.push(outgoing);
    this.#pump();
  }

  settled(outgoing: Outgoing): void {
    outgoing.registration?.settle(outgoing.number);
    if (this.#waitingHead < this.#waiting.length) this.#pump();
  }

  /** The store does not know this registration any more. */
  forget(registration: ClientRegistration): void {
    if (this.#registration === registration) this.#registration = null;
  }

  #pump(): void {
    while (this.#waitingHead < this.#waiting.length) {
      const outgoing = this.#waiting[this.#waitingHead] as Outgoing;
      if (outgoing.state !== 'done') {
        if (this.#registration === null) {
          this.#startRegistration();
          return;
        }
        const number = this.#registration.take();
        if (number === null) {
          this.#dropTaken();
          return;
        }
        outgoing.registration = this.#registration;
        outgoing.number = number;
      }
      this.#waitingHead += 1;
      if (outgoing.state !== 'done') this.#ready(outgoing);
    }
    this.#waiting = [];
    this.#waitingHead = 0;
  }

  /** Under steady load the queue is never empty; what was taken from its front must not pile up there. */
  #dropTaken(): void {
    if (this.#waitingHead < 1_024) return;
    this.#waiting = this.#waiting.slice(this.#waitingHead);
    this.#waitingHead = 0;
  }

  #startRegistration(): void {
    if (this.#registering) return;
    this.#registering = true;
    this.#register().then(
      (clientId) => {
        this.#registering = false;
        this.#registration = new ClientRegistration(clientId);
        this.#pump();
      },
      (thrown: unknown) => {
        this.#registering = false;
        this.#registrationFailed(toHoldfastError(thrown));
      },
    );
  }

  #registrationFailed(error: HoldfastError): void {
    if (isTransient(error)) {
      this.#pump();
      return;
    }
    const refused = this.#waiting.slice(this.#waitingHead);
    this.#waiting = [];
    this.#waitingHead = 0;
    for (const outgoing of refused) this.#refused(outgoing, error);
  }
}
