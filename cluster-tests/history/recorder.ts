import { createWriteStream, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { assert } from '../../src/base/assert.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import type { HistoryLine, OperationLine, RecorderApi } from './types.ts';

/** What is known of an operation when it is called. */
export type Begun<Line extends OperationLine = OperationLine> = Line extends OperationLine
  ? Omit<Line, 'ret' | 'rev' | 'status' | 'out' | 'error'>
  : never;

/** Lines may wait for the disk up to this many bytes; then callers are held back. */
const BUFFER_BYTES_MAX = 4 * 1_048_576;

/**
 * Writes a history to a file as it happens. One process, one recorder: its clock orders everything. What is kept in
 * memory are the operations under way and the lines that the disk has not taken yet.
 */
export class Recorder implements RecorderApi {
  readonly #out: WriteStream;
  readonly #clock: Clock;
  readonly #underWay = new Set<Begun>();
  #lastUs = -1;
  #clients = 0;
  #watches = 0;
  #lines = 0;
  #failed: Error | null = null;
  #closed = false;

  constructor(path: string, options: { readonly clock?: Clock } = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#out = createWriteStream(path, { flags: 'wx', highWaterMark: BUFFER_BYTES_MAX });
    this.#out.on('error', (error) => {
      this.#failed = error;
    });
  }

  get lines(): number {
    return this.#lines;
  }

  /** The monotonic clock in microseconds, moved on where it stands still: no two times are equal. */
  now(): number {
    this.#lastUs = Math.max(this.#lastUs + 1, Math.floor(this.#clock.monotonicMs() * 1_000));
    return this.#lastUs;
  }

  newClient(): number {
    this.#clients += 1;
    return this.#clients;
  }

  newWatch(): number {
    this.#watches += 1;
    return this.#watches;
  }

  /** To be called before the request is sent. */
  begin(begun: Begun): void {
    this.#underWay.add(begun);
  }

  /** To be called after the answer has come, with what was given to `begin` and the line that came of it. */
  end(begun: Begun, line: OperationLine): void {
    // After `close` the operation is in the file already, as one that never came back.
    if (this.#underWay.delete(begun)) this.write(line);
  }

  /** @throws Error when the file cannot be written: a history with a gap proves nothing */
  write(line: HistoryLine): void {
    if (this.#failed !== null) throw this.#failed;
    assert(!this.#closed, 'nothing is recorded after the end');
    this.#lines += 1;
    this.#out.write(`${JSON.stringify(line)}\n`);
  }

  note(text: string): void {
    this.write({ f: 'note', at: this.now(), text });
  }

  /** Resolves when the disk keeps up: to be awaited between operations. */
  async flushed(): Promise<void> {
    if (!this.#out.writableNeedDrain || this.#closed) return;
    await new Promise<void>((resolve) => {
      this.#out.once('drain', resolve);
      this.#out.once('error', () => resolve());
    });
    if (this.#failed !== null) throw this.#failed;
  }

  /** Ends the history; what is still under way has an outcome that nobody knows. */
  async close(): Promise<void> {
    if (this.#closed) return;
    for (const begun of this.#underWay) {
      this.write({ ...begun, ret: null, rev: null, status: 'info', out: null } as OperationLine);
    }
    this.#underWay.clear();
    this.#closed = true;
    this.#out.end();
    await finished(this.#out);
  }
}
