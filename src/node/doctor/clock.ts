import type { Clock } from '../../base/clock.ts';
import { LIMITS } from '../../base/limits.ts';
import { type Finding, failure, ok } from './finding.ts';

/** This program was written after the one and is not expected to run after the other. */
const EARLIEST_MS = Date.UTC(2025, 0, 1);
const LATEST_MS = Date.UTC(2100, 0, 1);

const MEND = 'timedatectl set-ntp true';

export function checkClock(clock: Clock): Finding {
  const nowMs = clock.wallMs();
  const now = new Date(nowMs).toISOString();
  if (nowMs >= EARLIEST_MS && nowMs < LATEST_MS) return ok('clock', `this machine says ${now}`);
  return failure('clock', `this machine says ${now}, which cannot be right`, MEND);
}

/** What a node of the cluster said of its time, and when here it was asked and answered, all on wall clocks. */
export interface ClockReading {
  readonly name: string;
  readonly theirMs: number;
  readonly askedMs: number;
  readonly answeredMs: number;
}

/** A clock further off than holdfast follows is a fault: the leader would not stamp with it. */
export function checkClockAgainst({ name, theirMs, askedMs, answeredMs }: ClockReading): Finding {
  const aheadMs = Math.max(askedMs - theirMs, theirMs - answeredMs, 0);
  const limitMs = LIMITS.clockAheadMsMax;
  const seconds = `${(aheadMs / 1_000).toFixed(1)} s`;
  if (aheadMs <= limitMs) return ok('clock', `${name} and this machine are ${seconds} apart`);
  const message = `${name} and this machine are ${seconds} apart; up to ${limitMs / 1_000} s is allowed`;
  return failure('clock', message, `${MEND}, on the machine that is wrong`);
}
