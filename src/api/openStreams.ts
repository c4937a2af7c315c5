/** A stream that may outlive many requests and has to be told when the node stops. */
export interface DrainableStream {
  drain(): void;
}

/** The session and watch streams that are open now. */
export class OpenStreams {
  readonly #streams = new Set<DrainableStream>();

  /** Returns the function that forgets the stream. */
  add(stream: DrainableStream): () => void {
    this.#streams.add(stream);
    return () => this.#streams.delete(stream);
  }

  get count(): number {
    return this.#streams.size;
  }

  drainAll(): void {
    for (const stream of this.#streams) stream.drain();
  }
}
