/** Latencies in logarithmic buckets of about 2 %: constant memory, no sorting while the load runs. */
export class Histogram {
  readonly #buckets = new Float64Array(1_024);
  #count = 0;

  record(latencyMs: number): void {
    const bucket = Math.round(Math.log(Math.max(latencyMs, 0.001) / 0.001) / Math.log(1.02));
    const slot = Math.min(bucket, this.#buckets.length - 1);
    this.#buckets[slot] = (this.#buckets[slot] ?? 0) + 1;
    this.#count += 1;
  }

  get count(): number {
    return this.#count;
  }

  /** Milliseconds below which that share (0 to 1) of all latencies lies. */
  quantileMs(share: number): number {
    let seen = 0;
    for (let bucket = 0; bucket < this.#buckets.length; bucket += 1) {
      seen += this.#buckets[bucket] ?? 0;
      if (seen >= share * this.#count) return 0.001 * 1.02 ** bucket;
    }
    return 0;
  }
}
