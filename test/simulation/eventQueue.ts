import type { Machine } from './machine.ts';

/** The life of a happening that no crash makes void. */
export const ANY_LIFE = 0;

/** Something that will happen. */
export interface Happening {
  readonly timeMs: number;
  /** Breaks ties: what was planned first happens first. */
  readonly order: number;
  /** Whom it happens to; not while that machine is paused. */
  readonly machine: Machine | null;
  /** The life of the machine that it belongs to; void in another one. */
  readonly life: number;
  readonly kind: 'timer' | 'turn' | 'disk' | 'network' | 'work' | 'fault';
  readonly run: () => void;
}

/** All that will happen, the earliest first: a binary heap. */
export class EventQueue {
  readonly #heap: Happening[] = [];

  get size(): number {
    return this.#heap.length;
  }

  push(event: Happening): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(event);
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above] as Happening;
      if (isBefore(parent, event)) break;
      heap[place] = parent;
      place = above;
    }
    heap[place] = event;
  }

  pop(): Happening | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1] as Happening, heap[below] as Happening))
        below += 1;
      if (isBefore(last, heap[below] as Happening)) break;
      heap[place] = heap[below] as Happening;
      place = below;
    }
    heap[place] = last;
    return first;
  }
}

function isBefore(one: Happening, other: Happening): boolean {
  return one.timeMs < other.timeMs || (one.timeMs === other.timeMs && one.order < other.order);
}
