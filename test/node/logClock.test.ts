import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { LogClock } from '../../src/node/logClock.ts';

const START_MS = 1_700_000_000_000;
const HOUR_MS = 3_600_000;

let clock: ManualClock;
let appliedMs: number;
let voters: number;
let ahead: number[];
let logClock: LogClock;

beforeEach(() => {
  clock = new ManualClock(START_MS);
  appliedMs = START_MS - 5_000;
  voters = 3;
  ahead = [0, 0];
  logClock = new LogClock({
    clock,
    appliedTimeMs: () => appliedMs,
    voterClocks: () => ({ voterCount: voters, othersAheadMs: ahead }),
  });
});

describe('the time as it is now', () => {
  it('is that of a trusted clock, and leaves no trace', () => {
    expect(logClock.nowMs()).toBe(START_MS);
    clock.advance(70);
    expect(logClock.nowMs()).toBe(START_MS + 70);
    ahead = [];
    expect(logClock.nowMs()).toBe(appliedMs);
    expect(logClock.stampMs()).toBe(appliedMs + 70);
  });

  it('is that of the log where it is later, or the clock is far ahead', () => {
    appliedMs = START_MS + 1_000;
    expect(logClock.nowMs()).toBe(appliedMs);
    appliedMs = START_MS - 1_000;
    ahead = [-HOUR_MS, -HOUR_MS];
    expect(logClock.nowMs()).toBe(appliedMs);
    clock.advance(70);
    expect(logClock.nowMs()).toBe(appliedMs);
  });

  it('is not that of a clock that was just set', () => {
    clock.jumpWall(HOUR_MS);
    expect(logClock.nowMs()).toBe(appliedMs);
  });
});

describe('a trusted clock', () => {
  it('is what is stamped', () => {
    expect(logClock.stampMs()).toBe(START_MS);
    clock.advance(70);
    expect(logClock.stampMs()).toBe(START_MS + 70);
  });

  it('is enough alone in a cluster of one', () => {
    voters = 1;
    ahead = [];
    expect(logClock.stampMs()).toBe(START_MS);
  });

  it.each([
    ['10 s ahead of the median', [-10_000, -10_000], true],
    ['more than 10 s ahead of the median', [-10_001, -10_001], false],
    ['far ahead of one of three only', [-HOUR_MS, 0], true],
    ['far behind', [HOUR_MS, HOUR_MS], true],
    ['with one other heard, in step', [0], true],
    ['with nobody heard', [], false],
  ] as const)('%s', (_what, offsets, trusted) => {
    ahead = [...offsets];
    expect(logClock.trusted()).toBe(trusted);
  });

  it('needs three of five', () => {
    voters = 5;
    ahead = [0];
    expect(logClock.trusted()).toBe(false);
    ahead = [0, 0];
    expect(logClock.trusted()).toBe(true);
  });
});

describe('a clock that is not trusted', () => {
  it('goes on from the last stamp by monotonic time', () => {
    expect(logClock.stampMs()).toBe(START_MS);
    ahead = [];
    clock.advance(1_000);
    clock.jumpWall(5_000);
    expect(logClock.stampMs()).toBe(START_MS + 1_000);
    expect(logClock.stampMs()).toBe(START_MS + 1_000);
  });

  it('begins at the time of the log', () => {
    ahead = [];
    clock.advance(300);
    logClock.leadershipChanged();
    clock.advance(200);
    expect(logClock.stampMs()).toBe(appliedMs + 200);
  });

  it('does not add the hours in which another node led', () => {
    expect(logClock.stampMs()).toBe(START_MS);
    clock.advance(5 * HOUR_MS);
    appliedMs = START_MS + 5 * HOUR_MS - 20;
    ahead = [];
    logClock.leadershipChanged();
    clock.advance(10);
    expect(logClock.stampMs()).toBe(appliedMs + 10);
  });
});

describe('stamps never go back', () => {
  it('when the wall clock does', () => {
    expect(logClock.stampMs()).toBe(START_MS);
    clock.jumpWall(-9_000);
    expect(logClock.stampMs()).toBe(START_MS);
  });

  it('below what another leader stamped', () => {
    expect(logClock.stampMs()).toBe(START_MS);
    appliedMs = START_MS + 60_000;
    expect(logClock.stampMs()).toBe(START_MS + 60_000);
  });

  it('when trust comes and goes', () => {
    let last = 0;
    for (let turn = 0; turn < 200; turn += 1) {
      ahead = turn % 3 === 0 ? [] : [-20_000 * (turn % 2), 0];
      clock.advance(turn % 7);
      clock.jumpWall(((turn * 37) % 11) * 1_000 - 5_000);
      if (turn % 10 === 0) logClock.leadershipChanged();
      const stampMs = logClock.stampMs();
      expect(stampMs).toBeGreaterThanOrEqual(last);
      last = stampMs;
    }
  });
});

describe('a clock that is set', () => {
  it('waits until the others have been heard again: what was heard compares them with the clock before', () => {
    expect(logClock.stampMs()).toBe(START_MS);
    clock.advance(50);
    clock.jumpWall(HOUR_MS);
    expect(logClock.stampMs()).toBe(START_MS + 50);
    ahead = [-HOUR_MS, -HOUR_MS];
    clock.advance(5_000);
    expect(logClock.stampMs()).toBe(START_MS + 5_050);
  });

  it('is trusted again when the others agree', () => {
    logClock.stampMs();
    clock.jumpWall(HOUR_MS);
    logClock.stampMs();
    clock.advance(2_000);
    expect(logClock.stampMs()).toBe(START_MS + HOUR_MS + 2_000);
  });
});
