/** A stream that may outlive many requests and has to be told when the node stops, or its caller's certificate ends. */
export interface DrainableStream {
  drain(): void;
}

/** The session and watch streams that are open now. */
export class OpenStreams {
  /** With the end of the caller's certificate, on the wall clock. */
  readonly #streams = new Map<DrainableStream, number>();

  /** Returns the function that forgets the stream. */
  add(stream: DrainableStream, endMs: number): () => void {
    this.#streams.set(stream, endMs);
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
    for (const [stream, endMs] of this.#streams) if (wallMs > endMs) stream.drain();
  }
}
