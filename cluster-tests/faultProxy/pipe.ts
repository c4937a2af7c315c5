import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Stream, Toxic, ToxicType } from './toxics.ts';
import { waitFor } from './waitFor.ts';

const WAITING_BYTES_MAX = 1024 * 1024;
const BANDWIDTH_SLICE_MS = 20;

interface Waiting {
  readonly bytes: Buffer;
  readonly dueMs: number;
}

/** The part of a connection that a pipe may end. */
export interface Ends {
  /** Both sockets, at once. */
  close(): void;
  /** Both sockets, with a TCP reset. */
  reset(): void;
}

/** One direction of one connection: takes bytes from one socket, does to them what its toxics say, hands them on. */
export class Pipe {
  readonly stream: Stream;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #ends: Ends;
  readonly #random: () => number;
  readonly #waiting: Waiting[] = [];
  readonly #over = new AbortController();
  #toxics: readonly Toxic[] = [];
  #waitingBytes = 0;
  #lastDueMs = 0;
  #passedBytes = 0;
  #dropped = false;
  #ended = false;
  #wake: () => void = () => undefined;
  readonly #timers = new Map<string, NodeJS.Timeout>();

  constructor(options: { stream: Stream; from: Socket; to: Socket; ends: Ends; random: () => number }) {
    this.stream = options.stream;
    this.#from = options.from;
    this.#to = options.to;
    this.#ends = options.ends;
    this.#random = options.random;
    this.#from.on('data', (bytes: Buffer) => this.#take(bytes));
    this.#from.on('end', () => {
      this.#ended = true;
      this.#wake();
    });
    void this.#run();
  }

  /** The toxics that are for this pipe, from now on. */
  use(toxics: readonly Toxic[]): void {
    const before = this.#toxics;
    this.#toxics = toxics;
    // What a `timeout` has swallowed is missing for ever: such a connection ends with the toxic.
    const swallowed = before.some((toxic) => toxic.type === 'timeout');
    if (swallowed && this.#toxic('timeout') === undefined && this.#dropped) this.#ends.close();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#endAfter('timeout', () => this.#ends.close());
    this.#endAfter('reset_peer', () => this.#ends.reset());
    this.#wake();
  }

  stop(): void {
    this.#over.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#wake();
  }

  #toxic(type: ToxicType): Toxic | undefined {
    return this.#toxics.find((toxic) => toxic.type === type);
  }

  #endAfter(type: 'timeout' | 'reset_peer', end: () => void): void {
    const toxic = this.#toxic(type);
    const afterMs = toxic?.attributes['timeout'] ?? 0;
    // A timeout of 0 is for ever; a reset after 0 ms is at once.
    if (toxic === undefined || (type === 'timeout' && afterMs === 0)) return;
    this.#timers.set(type, setTimeout(end, afterMs));
  }

  #take(bytes: Buffer): void {
    if (this.#toxic('timeout') !== undefined || this.#toxic('reset_peer') !== undefined) {
      this.#dropped = true;
      return;
    }
    const nowMs = performance.now();
    this.#lastDueMs = Math.max(this.#lastDueMs, nowMs + this.#delayMs());
    this.#waiting.push({ bytes, dueMs: this.#lastDueMs });
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > WAITING_BYTES_MAX) this.#from.pause();
    this.#wake();
  }

  #delayMs(): number {
    let delayMs = 0;
    for (const { type, attributes } of this.#toxics) {
      if (type !== 'latency') continue;
      const { latency = 0, jitter = 0 } = attributes;
      delayMs += latency + (this.#random() * 2 - 1) * jitter;
    }
    return Math.max(0, delayMs);
  }

  async #run(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      const next = this.#waiting[0];
      if (next === undefined && this.#ended) break;
      if (next === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      await waitFor(next.dueMs - performance.now(), signal);
      await this.#hand(next.bytes);
      this.#waiting.shift();
      this.#waitingBytes -= next.bytes.length;
      if (this.#waitingBytes <= WAITING_BYTES_MAX / 2) this.#from.resume();
    }
    if (signal.aborted) return;
    await waitFor(this.#toxic('slow_close')?.attributes['delay'] ?? 0, signal);
    if (!signal.aborted) this.#to.end();
  }

  /** Passes bytes on, cut and slowed. */
  async #hand(bytes: Buffer): Promise<void> {
    for (let offset = 0; offset < bytes.length && !this.#over.signal.aborted; ) {
      if (this.#toxic('timeout') !== undefined) {
        this.#dropped = true;
        return;
      }
      const room = this.#room();
      const end = Math.min(bytes.length, offset + this.#sliceBytes(), offset + room);
      await this.#write(bytes.subarray(offset, end));
      this.#passedBytes += end - offset;
      if (this.#room() <= 0) {
        this.#ends.close();
        return;
      }
      await this.#slow(end - offset);
      offset = end;
    }
  }

  /** How many more bytes `limit_data` lets through. */
  #room(): number {
    const limit = this.#toxic('limit_data');
    return limit === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(0, (limit.attributes['bytes'] ?? 0) - this.#passedBytes);
  }

  #sliceBytes(): number {
    const { average_size: average = 0, size_variation: variation = 0 } =
      this.#toxic('slicer')?.attributes ?? {};
    const sliced =
      average > 0
        ? Math.max(1, Math.round(average + (this.#random() * 2 - 1) * variation))
        : Number.POSITIVE_INFINITY;
    const rate = this.#toxic('bandwidth')?.attributes['rate'];
    if (rate === undefined) return sliced;
    return Math.min(sliced, Math.max(1, Math.round((rate * 1024 * BANDWIDTH_SLICE_MS) / 1_000)));
  }

  async #slow(bytes: number): Promise<void> {
    const delayUs = this.#toxic('slicer')?.attributes['delay'] ?? 0;
    const rate = this.#toxic('bandwidth')?.attributes['rate'];
    const sendingMs = rate === undefined ? 0 : (bytes * 1_000) / Math.max(rate * 1024, 1);
    if (delayUs > 0 || sendingMs > 0) await waitFor(delayUs / 1_000 + sendingMs, this.#over.signal);
  }

  async #write(bytes: Buffer): Promise<void> {
    if (bytes.length === 0 || this.#to.destroyed || this.#to.write(bytes)) return;
    await once(this.#to, 'drain', { signal: this.#over.signal }).catch(() => undefined);
  }
}
