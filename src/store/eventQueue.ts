import type { RecordVersion } from './keyIndex.ts';

const SLACK = 4_096;

/** All versions that compaction has not come to yet, by revision.sub. */
export class EventQueue {
  #items: RecordVersion[] = [];
  #head = 0;

  push(version: RecordVersion): void {
    this.#items.push(version);
  }

  first(): RecordVersion | undefined {
    return this.#items[this.#head];
  }

  removeFirst(): void {
    this.#head += 1;
    if (this.#head < SLACK || this.#head * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#head);
    this.#head = 0;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Versions from a revision on, at most `most` but never cutting one revision in two. */
  slice(fromRevision: number, most: number): readonly RecordVersion[] {
    const start = this.#position(fromRevision);
    let end = Math.min(start + most, this.#items.length);
    const last = this.#items[end - 1];
    while (end < this.#items.length && this.#items[end]?.number === last?.number) end += 1;
    return this.#items.slice(start, end);
  }

  #position(revision: number): number {
    let low = this.#head;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#items[middle]?.number ?? 0) < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
