import type { LogIndex } from '../../base/ids.ts';

interface Sent {
  readonly last: LogIndex;
  readonly bytes: number;
}

/** The appends that a follower has not acknowledged yet, oldest first. Invariant 22: bounded by number and bytes. */
export class InFlight {
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  #sent: Sent[] = [];
  #bytes = 0;

  constructor(limits: { messagesMax: number; bytesMax: number }) {
    this.#messagesMax = limits.messagesMax;
    this.#bytesMax = limits.bytesMax;
  }

  get full(): boolean {
    return this.#sent.length >= this.#messagesMax || this.#bytes >= this.#bytesMax;
  }

  get count(): number {
    return this.#sent.length;
  }

  add(sent: Sent): void {
    this.#sent.push(sent);
    this.#bytes += sent.bytes;
  }

  /** Everything up to `index` has arrived. */
  freeThrough(index: LogIndex): void {
    while (this.#sent[0] !== undefined && this.#sent[0].last <= index) {
      this.#bytes -= this.#sent.shift()?.bytes ?? 0;
    }
  }

  clear(): void {
    this.#sent = [];
    this.#bytes = 0;
  }
}
