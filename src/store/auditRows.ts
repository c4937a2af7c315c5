import { AUDIT_HASH_BYTES } from '../audit/record/chain.ts';
import { assert, present } from '../base/assert.ts';

/** What memory holds of a row of audit records; the records are on disk. */
export interface AuditRowPlace {
  /** The sequence of its first record: the number of the row. */
  readonly number: number;
  /** Log time. */
  readonly timeMs: number;
  /** Of the record before its first, 32 bytes. */
  readonly previousHash: Uint8Array;
  /** Of the row, 32 latin-1 characters. */
  readonly digest: string;
}

const CHUNK_ROWS = 1024;
const ROW_BYTES = 2 * AUDIT_HASH_BYTES;

/** As numbers and bytes in a few large pieces, since there may be a million and each lives for months. */
class Chunk {
  readonly numbers = new Float64Array(CHUNK_ROWS);
  readonly timesMs = new Float64Array(CHUNK_ROWS);
  readonly hashes = Buffer.alloc(CHUNK_ROWS * ROW_BYTES);
}

/** The rows of audit records that are kept, the oldest first. 80 bytes each. */
export class AuditRows {
  readonly #chunks: Chunk[] = [];
  /** Rows of the first chunk that are gone. */
  #gone = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push({ number, timeMs, previousHash, digest }: AuditRowPlace): void {
    const at = this.#gone + this.#length;
    if (at === this.#chunks.length * CHUNK_ROWS) this.#chunks.push(new Chunk());
    const chunk = this.#chunkOf(at);
    const within = at % CHUNK_ROWS;
    chunk.numbers[within] = number;
    chunk.timesMs[within] = timeMs;
    chunk.hashes.set(previousHash, within * ROW_BYTES);
    chunk.hashes.write(digest, within * ROW_BYTES + AUDIT_HASH_BYTES, 'latin1');
    this.#length += 1;
  }

  at(position: number): AuditRowPlace {
    assert(position >= 0 && position < this.#length, 'an audit row is asked for that is kept');
    const chunk = this.#chunkOf(this.#gone + position);
    const within = (this.#gone + position) % CHUNK_ROWS;
    const start = within * ROW_BYTES;
    return {
      number: chunk.numbers[within] ?? 0,
      timeMs: chunk.timesMs[within] ?? 0,
      previousHash: Buffer.from(chunk.hashes.subarray(start, start + AUDIT_HASH_BYTES)),
      digest: chunk.hashes.toString('latin1', start + AUDIT_HASH_BYTES, start + ROW_BYTES),
    };
  }

  /** The oldest goes. */
  shift(): void {
    assert(this.#length > 0, 'an audit row goes that is kept');
    this.#gone += 1;
    this.#length -= 1;
    if (this.#gone < CHUNK_ROWS) return;
    this.#chunks.shift();
    this.#gone = 0;
  }

  /** The position of the row that holds a sequence, or of the first when that is older; -1: there is none. */
  positionOf(sequence: number): number {
    return Math.max(this.#above((number) => number <= sequence) - 1, this.#length > 0 ? 0 : -1);
  }

  /** The first position whose time is not before this; the length: all are before it. */
  positionFrom(timeMs: number): number {
    return this.#above((_number, rowTimeMs) => rowTimeMs < timeMs);
  }

  /** How many rows, from the oldest, are so; numbers and times only go up. */
  #above(isBelow: (number: number, timeMs: number) => boolean): number {
    let [low, high] = [0, this.#length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const at = this.#gone + middle;
      const chunk = this.#chunkOf(at);
      if (isBelow(chunk.numbers[at % CHUNK_ROWS] ?? 0, chunk.timesMs[at % CHUNK_ROWS] ?? 0)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #chunkOf(at: number): Chunk {
    return present(this.#chunks[Math.floor(at / CHUNK_ROWS)], 'chunk of audit rows');
  }
}
