import type { Clock } from '../../base/clock.ts';
import { LIMITS } from '../../base/limits.ts';
import { type Finding, failure, ok, warning } from './finding.ts';

/** This program was written after the one and is not expected to run after the other. */
const EARLIEST_MS = Date.UTC(2025, 0, 1);
const LATEST_MS = Date.UTC(2100, 0, 1);

/** On the machine that is wrong. */
export const SET_CLOCK = 'timedatectl set-ntp true';

export function checkClock(clock: Clock): Finding {
  const nowMs = clock.wallMs();
  const now = new Date(nowMs).toISOString();
  if (nowMs >= EARLIEST_MS && nowMs < LATEST_MS) return ok('clock', `this machine says ${now}`);
  return failure('clock', `this machine says ${now}, which cannot be right`, SET_CLOCK);
}

/** What a node said of its time, and when here it was asked and answered, all on wall clocks. */
export interface ClockReading {
  readonly name: string;
  readonly theirMs: number;
  readonly askedMs: number;
  readonly answeredMs: number;
}

/** How far a clock is ahead of this machine's: somewhere between the two. */
interface Offset {
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/** The two clocks that are furthest apart, those of the nodes and of this machine. One far ahead of the others stamps nothing. */
export function checkClocks(readings: readonly ClockReading[]): readonly Finding[] {
  if (readings.length === 0) return [];
  const offsets: Offset[] = readings.map(({ name, theirMs, askedMs, answeredMs }) => ({
    name,
    fromMs: theirMs - answeredMs,
    toMs: theirMs - askedMs,
  }));
  const { names, apartMs } = furthestApart([...offsets, { name: 'this machine', fromMs: 0, toMs: 0 }]);
  const check = 'clocks';
  const limitMs = LIMITS.clockAheadMsMax;
  const apart = `the clocks of ${names} are ${(apartMs / 1_000).toFixed(1)} s apart`;
  if (apartMs > limitMs)
    return [failure(check, `${apart}; up to ${limitMs / 1_000} s is followed`, SET_CLOCK)];
  if (apartMs > LIMITS.clockApartMsAdvised) return [warning(check, apart, SET_CLOCK)];
  return [ok(check, `${readings.map(({ name }) => name).join(', ')} and this machine say the same time`)];
}

/** By as much as is certain, whenever in between the answers were given. */
function furthestApart(offsets: readonly Offset[]): { readonly names: string; readonly apartMs: number } {
  let worst = { names: '', apartMs: 0 };
  for (const behind of offsets) {
    for (const ahead of offsets) {
      const apartMs = ahead.fromMs - behind.toMs;
      if (apartMs > worst.apartMs) worst = { names: `${behind.name} and ${ahead.name}`, apartMs };
    }
  }
  return worst;
}
