import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { Scrubber } from '../../src/node/scrubber.ts';
import type { ScrubPace } from '../../src/store/scrub.ts';
import { ManualScheduler } from './manualScheduler.ts';

const DAY_MS = 86_400_000;
let clock: ManualClock;
let scheduler: ManualScheduler;
let fatal: HoldfastError[];
let passes: number;
let portions: number;
let busy: boolean;
let damage: string | null;
let fails: HoldfastError | null;
let scrubber: Scrubber;

beforeEach(() => {
  clock = new ManualClock();
  scheduler = new ManualScheduler(clock);
  fatal = [];
  [passes, portions, busy, damage, fails] = [0, 10, false, null, null];
  scrubber = new Scrubber({
    scrubState: async (pace: ScrubPace) => {
      passes += 1;
      if (fails !== null) throw fails;
      for (let portion = 0; portion < portions; portion += 1) {
        if (!(await pace({ rows: LIMITS.scrubRowsPerSecond, bytes: 1 })))
          return { rows: 0, bytes: 0, whole: false };
      }
      return { rows: portions * LIMITS.scrubRowsPerSecond, bytes: portions, whole: true };
    },
    verifyLog: async (pace) => {
      await pace(LIMITS.scrubBytesPerSecond);
      return { segments: 1, bytes: LIMITS.scrubBytesPerSecond, damage };
    },
    isBusy: () => busy,
    intervalMs: DAY_MS,
    clock,
    scheduler,
    logger: silentLogger,
    onFatal: (error) => fatal.push(error),
  });
});

describe('the scrubber', () => {
  it('begins some minutes after the start, and again a day after each pass', async () => {
    scrubber.start();
    await scheduler.advance(LIMITS.scrubFirstAfterMs - 1);
    expect(passes).toBe(0);
    await scheduler.advance(60_000);
    expect(passes).toBe(1);
    const { last } = scrubber;
    expect(last).toMatchObject({ rows: 10 * LIMITS.scrubRowsPerSecond, logSegments: 1 });
    await scheduler.advance(DAY_MS - 60_000);
    expect(passes).toBe(1);
    await scheduler.advance(60_000);
    expect(passes).toBe(2);
    expect(scrubber.last?.finishedMs).toBeGreaterThan(last?.finishedMs ?? 0);
  });

  it('reads no faster than it may', async () => {
    scrubber.start();
    await scheduler.advance(LIMITS.scrubFirstAfterMs + 9_000);
    expect(scrubber.last).toBeNull();
    await scheduler.advance(2_000);
    expect(scrubber.last?.durationMs).toBe(10_000);
  });

  it('is slower while the node is busy, and goes on', async () => {
    portions = 5;
    busy = true;
    const run = scrubber.run();
    await scheduler.advance(60_000);
    await run;
    expect(scrubber.last?.durationMs).toBeGreaterThanOrEqual(6 * LIMITS.scrubBusyWaitMs);
  });

  it('stops the node for what it finds in the state', async () => {
    fails = new HoldfastError('STATE_CORRUPT', 'row 1.0 of table k');
    await scrubber.run();
    expect(fatal.map(({ code }) => code)).toEqual(['STATE_CORRUPT']);
    expect(scrubber.last).toBeNull();
  });

  it('stops the node for what it finds in the log', async () => {
    damage = 'segment 3, offset 7';
    const run = scrubber.run();
    await scheduler.advance(60_000);
    await run;
    expect(fatal).toMatchObject([{ code: 'LOG_CORRUPT', message: expect.stringContaining('offset 7') }]);
    expect(scrubber.last).toBeNull();
  });

  it('ends at once when it is stopped, and comes back no more', async () => {
    scrubber.start();
    await scheduler.advance(LIMITS.scrubFirstAfterMs + 1_500);
    scrubber.stop();
    await scheduler.advance(2 * DAY_MS);
    expect(passes).toBe(1);
    expect(scrubber.last).toBeNull();
    expect(scheduler.timers).toEqual([]);
    expect(fatal).toEqual([]);
  });
});
