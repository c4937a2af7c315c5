/** A stream that may outlive many requests and has to be told when the node stops, or its caller is nobody any more. */
export interface DrainableStream {
  drain(): void;
}

/** The session and watch streams that are open now. */
export class OpenStreams {
  /** With what says whether the caller is still somebody, at a time of the wall clock. */
  readonly #streams = new Map<DrainableStream, (wallMs: number) => boolean>();

  /** Returns the function that forgets the stream. */
  add(stream: DrainableStream, isGood: (wallMs: number) => boolean): () => void {
    this.#streams.set(stream, isGood);
    return () => this.#streams.delete(stream);
  }

  get count(): number {
    return this.#streams.size;
  }

  drainAll(): void {
    for (const stream of this.#streams.keys()) stream.drain();
  }

  /** Those whose callers would not be let in any more; called about once a second. */
  drainExpired(wallMs: number): void {
    for (const [stream, isGood] of this.#streams) if (!isGood(wallMs)) stream.drain();
  }
}
