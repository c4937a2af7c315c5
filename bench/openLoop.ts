import { setTimeout as delay } from 'node:timers/promises';
import { Histogram } from './histogram.ts';

interface Measured {
  readonly latencies: Histogram;
  failures: number;
}

/**
 * So many operations a second, whether the earlier ones are answered or not. A latency counts from the moment at which its
 * operation was due, so that what waits behind something slow counts as slow too.
 */
export class OpenLoop {
  readonly #perSecond: number;
  readonly #operation: (sequence: number) => Promise<unknown>;
  readonly #pending = new Set<Promise<void>>();
  #measured: Measured = { latencies: new Histogram(), failures: 0 };
  #isOver = false;
  #running: Promise<void> | null = null;

  constructor(perSecond: number, operation: (sequence: number) => Promise<unknown>) {
    this.#perSecond = perSecond;
    this.#operation = operation;
  }

  start(): void {
    this.#running = this.#run();
  }

  /**
   * What was due since the last call, once it is answered: the slowest count too. One that failed counts as one that took
   * until then.
   */
  async take(): Promise<Measured> {
    const [measured, pending] = [this.#measured, [...this.#pending]];
    this.#measured = { latencies: new Histogram(), failures: 0 };
    await Promise.all(pending);
    return measured;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
    await Promise.all(this.#pending);
  }

  async #run(): Promise<void> {
    const startMs = performance.now();
    for (let sequence = 0; !this.#isOver; ) {
      const dueCount = ((performance.now() - startMs) / 1_000) * this.#perSecond;
      for (; sequence < dueCount; sequence += 1)
        this.#send(sequence, startMs + (sequence / this.#perSecond) * 1_000);
      await delay(1);
    }
  }

  #send(sequence: number, dueMs: number): void {
    const measured = this.#measured;
    const sent = this.#operation(sequence)
      .catch(() => {
        measured.failures += 1;
      })
      .then(() => measured.latencies.record(performance.now() - dueMs))
      .finally(() => this.#pending.delete(sent));
    this.#pending.add(sent);
  }
}
