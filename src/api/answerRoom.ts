import { LIMITS } from '../base/limits.ts';

interface Asking {
  readonly call: object;
  readonly bytesMax: number;
  readonly grant: () => void;
}

/**
 * Bounds what is read for one session and has not gone out: a request of a few bytes may ask for a page of
 * megabytes, and thousands of them fit into a frame. Who reads asks for the most that it may read, and gives that
 * back once its answer, with the bytes that it really has, is among those that wait to be sent.
 */
export class AnswerRoom {
  readonly #bytesMax: number;
  /** Granted and not answered yet, by call. */
  readonly #granted = new Map<object, number>();
  #grantedBytes = 0;
  #unsentBytes = 0;
  /** In the order of asking; those before `#head` have been granted. */
  #asking: Asking[] = [];
  #head = 0;
  #closed = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /**
   * Resolves, in the order of asking, when there is room, and at once for a call that has as much already; never once the call is
   * released or the room closed.
   */
  ask(call: object, bytesMax: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) return;
      if ((this.#granted.get(call) ?? -1) >= bytesMax) return resolve();
      if (this.#head === this.#asking.length && this.#fits(bytesMax)) {
        this.#take(call, bytesMax);
        return resolve();
      }
      this.#asking.push({ call, bytesMax, grant: resolve });
    });
  }

  /** The call is answered, or given up. */
  release(call: object): void {
    const bytes = this.#granted.get(call);
    if (bytes === undefined) {
      this.#asking = this.#asking.slice(this.#head).filter((asking) => asking.call !== call);
      this.#head = 0;
      return;
    }
    this.#granted.delete(call);
    this.#grantedBytes -= bytes;
    this.#grant();
  }

  /** An answer waits to be sent. */
  occupy(bytes: number): void {
    this.#unsentBytes += bytes;
  }

  /** Answers have gone out. */
  vacate(bytes: number): void {
    this.#unsentBytes -= bytes;
    this.#grant();
  }

  close(): void {
    this.#closed = true;
    this.#asking = [];
    this.#head = 0;
  }

  #grant(): void {
    for (let next = this.#asking[this.#head]; next !== undefined; next = this.#asking[this.#head]) {
      if (!this.#fits(next.bytesMax)) return this.#trim();
      this.#head += 1;
      this.#take(next.call, next.bytesMax);
      next.grant();
    }
    this.#asking = [];
    this.#head = 0;
  }

  /** Those that have been granted go, many at a time. */
  #trim(): void {
    if (this.#head < LIMITS.sessionGrantedKeptMax) return;
    this.#asking = this.#asking.slice(this.#head);
    this.#head = 0;
  }

  /** What is larger than the room goes alone. */
  #fits(bytesMax: number): boolean {
    const takenBytes = this.#grantedBytes + this.#unsentBytes;
    return takenBytes === 0 || takenBytes + bytesMax <= this.#bytesMax;
  }

  #take(call: object, bytesMax: number): void {
    this.#granted.set(call, (this.#granted.get(call) ?? 0) + bytesMax);
    this.#grantedBytes += bytesMax;
  }
}
