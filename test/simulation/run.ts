import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { buildPatched } from '../patches/patchedBuild.ts';
import { Coverage } from './coverage.ts';
import { uncovered } from './expectedCoverage.ts';
import { KEPT_SEEDS } from './keptSeeds.ts';
import { FAULTS } from './knobs.ts';
import { shrink } from './shrink.ts';
import type { SeedOrder, SeedReport } from './worker.ts';
import { Workers } from './workers.ts';

/** Where the program for the workers is put; neither git nor the checks look there. Another run has its own. */
const PROGRAM = `.rig/patched/simulation-${process.pid}.mjs`;
const FAILURES_SHOWN = 5;
const PROGRESS_MS = 10_000;
/** With fewer seeds a rare meeting of message, role and situation may be missing by chance. */
const COVERAGE_SEEDS_MIN = 4_000;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '500' },
    first: { type: 'string', default: '1' },
    steps: { type: 'string', default: '2000' },
    workers: { type: 'string', default: String(availableParallelism()) },
    /** Kinds of faults left out, comma separated. */
    without: { type: 'string', default: '' },
    report: { type: 'string' },
  },
});

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

function* orders(): Generator<SeedOrder> {
  const steps = Number(values.steps);
  const without = FAULTS.filter((fault) => values.without.split(',').includes(fault));
  for (const { order } of KEPT_SEEDS) yield order;
  const first = Number(values.first);
  for (let seed = first; seed < first + Number(values.seeds); seed += 1) yield { seed, steps, without };
}

await buildPatched({ entry: 'test/simulation/worker.ts', patches: [], outfile: PROGRAM });
const workers = new Workers({ program: PROGRAM, count: Number(values.workers) });
const coverage = new Coverage();
const sums = new Map<string, number>();
const failures: SeedReport[] = [];
const startedMs = performance.now();
let done = 0;
let steps = 0;
let simulatedMs = 0;
let toldMs = startedMs;

await workers.run(orders(), (report) => {
  done += 1;
  steps += report.steps;
  simulatedMs += report.simulatedMs;
  coverage.add(report.coverage);
  for (const [name, count] of Object.entries(report.counts)) sums.set(name, (sums.get(name) ?? 0) + count);
  if (report.failure !== null) {
    failures.push(report);
    console.error(`seed ${report.seed} failed: ${report.failure.message.split('\n')[0]}`);
  }
  if (performance.now() > toldMs + PROGRESS_MS) {
    toldMs = performance.now();
    console.error(`${done} seeds, ${failures.length} failed`);
  }
  return failures.length < FAILURES_SHOWN;
});

const seconds = (performance.now() - startedMs) / 1_000;
for (const report of failures) await explain(report);
for (const file of [PROGRAM, `${PROGRAM}.map`]) rmSync(file);
const missing = done >= COVERAGE_SEEDS_MIN ? uncovered(coverage) : [];
for (const key of missing) console.log(`never seen: ${key}`);
const summary = {
  commit: commit(),
  seeds: done,
  failed: failures.length,
  steps,
  simulatedHours: Number((simulatedMs / 3_600_000).toFixed(2)),
  seconds: Math.round(seconds),
  seedsPerSecondAndWorker: Number((done / seconds / Number(values.workers)).toFixed(1)),
  counts: inOrder(sums),
  meetings: coverage.counts.size,
};
console.log(JSON.stringify(summary, null, 2));
if (values.report !== undefined) {
  writeFileSync(values.report, JSON.stringify({ ...summary, coverage: inOrder(coverage.counts) }));
}
process.exitCode = failures.length + missing.length > 0 ? 1 : 0;

function inOrder(counts: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

async function explain(report: SeedReport): Promise<void> {
  const { seed, failure } = report;
  console.log(`FAILED seed ${seed}, commit ${commit()}, step ${failure?.step}: ${failure?.message}`);
  const run = async (order: SeedOrder): Promise<SeedReport> => {
    let answer = report;
    await new Workers({ program: PROGRAM, count: 1 }).run([order], (one) => {
      answer = one;
      return true;
    });
    return answer;
  };
  const failed = [...orders()].find((order) => order.seed === seed) ?? { seed, steps: Number(values.steps) };
  const { order, report: smallest } = await shrink({ order: failed, report }, run);
  const without = order.without === undefined ? '' : ` --without ${order.without.join(',')}`;
  const voters = order.voters === undefined ? '' : ` --voters ${order.voters}`;
  console.log(
    `  smallest: --seed ${seed} --steps ${order.steps}${without}${voters}: step ${smallest.failure?.step}`,
  );
}
