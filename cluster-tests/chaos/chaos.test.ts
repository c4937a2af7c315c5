import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runChaos } from './driver.ts';
import { mayLack } from './means.ts';
import { parseOptions } from './options.ts';
import { type ChaosSummary, renderSummary } from './summary.ts';

/** The short form of `npm run test:chaos`: CHAOS_MINUTES of it from CHAOS_SEED, with all checks. */
const MINUTES = Number(process.env['CHAOS_MINUTES'] ?? '0.5');
const SEED = Number(process.env['CHAOS_SEED'] ?? '1');
const ROUNDS = Number(process.env['CHAOS_ROUNDS'] ?? '3');
/** What comes on top: start, quiet phases, checks. */
const SLACK_MS = 240_000;
const RECOVERED_WITHIN_MS = 3_000;

// On a real disk, which the folder for temporary files need not be. A run that failed leaves its folder where its last words say.
const dir = mkdtempSync(join(process.env['CHAOS_FOLDER'] ?? '/var/tmp', 'chaos-test-'));
const run = (...args: string[]) =>
  runChaos(parseOptions(['--seed', String(SEED), '--dir', dir, ...args]), (text) =>
    process.stdout.write(`${text}\n`),
  );

let failed = false;
afterAll(() => {
  if (!failed) rmSync(dir, { recursive: true, force: true });
});

const keepIfFailed = (summary: ChaosSummary) => {
  process.stdout.write(`${renderSummary(summary)}\n`);
  if (summary.violations.length > 0) failed = true;
};

describe(`${MINUTES} minutes of faults from seed ${SEED}`, () => {
  let summary: ChaosSummary;

  beforeAll(
    async () => {
      summary = await run('--minutes', String(MINUTES));
      keepIfFailed(summary);
    },
    MINUTES * 120_000 + SLACK_MS,
  );

  it('end without a violation', () => {
    expect(summary.violations.join('\n'), renderSummary(summary)).toBe('');
  });

  it('are of all kinds', () => {
    const lacking = summary.notRun.filter(({ missing }) => missing.some((need) => !mayLack(need)));
    expect(lacking).toEqual([]);
  });

  it('are more than 500 an hour', () => {
    expect(summary.faultsPerHour).toBeGreaterThan(500);
  });

  it('pass while the control key changes', () => {
    expect(summary.rekeys).toBeGreaterThan(0);
  });

  it('leave histories that could be checked', () => {
    expect(summary.segments).toBeGreaterThan(0);
    expect(summary.operations).toBeGreaterThan(100);
  });

  it('are each followed by a write and a read', () => {
    expect(summary.kinds.find(({ kind }) => kind === 'all')?.afterHeal?.never).toBe(0);
  });
});

it(
  `the leader killed under load: writes again within ${RECOVERED_WITHIN_MS} ms at the 95th percentile`,
  async () => {
    const summary = await run('--only', 'leader-kill', '--rounds', String(ROUNDS), '--program', 'dist');
    keepIfFailed(summary);
    expect(summary.violations).toEqual([]);
    const [kills] = summary.kinds;
    expect(kills?.count).toBe(ROUNDS);
    expect(kills?.afterInject?.never).toBe(0);
    expect(kills?.afterInject?.p95).toBeLessThan(RECOVERED_WITHIN_MS);
  },
  ROUNDS * 30_000 + SLACK_MS,
);
