import { expect } from 'vitest';
import type { HoldfastError } from '../../src/base/errors.ts';
import { keyFromBytes } from '../../src/command/keys.ts';
import { EVENT_TYPE, type WatchEvent } from '../../src/proto/kv.ts';
import type { WatchQuery, WatchSink } from '../../src/store/types.ts';

/** Everything, from now on. */
export const ALL: WatchQuery = { start: '', end: '', startRevision: 0, previous: false, progress: false };
/** One key. */
export const one = (key: string, more: Partial<WatchQuery> = {}): WatchQuery => ({
  ...ALL,
  start: key,
  end: `${key}\0`,
  ...more,
});

/** Notes what it is told. Takes `room` deliveries, then it is full. */
export class Receiver implements WatchSink {
  readonly batches: { revision: number; events: readonly WatchEvent[] }[] = [];
  ended: { code: string; resumeRevision: number } | null = null;
  room = Number.POSITIVE_INFINITY;

  deliver(batch: { revision: number; events: readonly WatchEvent[] }): boolean {
    expect(this.ended).toBeNull();
    this.batches.push(batch);
    this.room -= 1;
    return this.room > 0;
  }

  cancelled({ code }: HoldfastError, resumeRevision: number): void {
    expect(this.ended).toBeNull();
    this.ended = { code, resumeRevision };
  }

  /** revision:key=value, or revision:key- for a deletion. */
  get told(): string[] {
    return this.batches.flatMap(({ events }) => events.map(textOf));
  }
}

export function textOf({ type, item }: WatchEvent): string {
  const value = type === EVENT_TYPE.DELETE ? '-' : `=${Buffer.from(item?.value ?? '').toString()}`;
  return `${item?.modRevision}:${keyFromBytes(item?.key ?? Buffer.alloc(0))}${value}`;
}
