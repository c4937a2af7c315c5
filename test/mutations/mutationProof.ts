import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { checkPatches } from '../patches/patchedBuild.ts';
import { FAULTS } from '../simulation/knobs.ts';
import { ROOT } from '../tidy/sourceTree.ts';
import type { Mutation } from './mutation.ts';
import { isNoticed, type Outcome, rewritePage, rowOf } from './page.ts';
import { SeedProof } from './seedProof.ts';
import { AREAS, MUTATIONS } from './table.ts';
import { type RedTest, runTests } from './testRun.ts';

/** Takes each protecting line away in turn, and looks who notices. Exit code 1 when nobody does. */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    /** For those that the first seeds do not notice. */
    more: { type: 'string', default: '2000' },
    steps: { type: 'string', default: '2000' },
    /** How much runs at a time. */
    workers: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    /** Of these mutations only whose name contains this text. */
    only: { type: 'string' },
    area: { type: 'string' },
    /** `tests`: leaves the simulation out, also where it would notice. */
    by: { type: 'string' },
    /** Kinds of faults left out of the simulation, comma separated. */
    without: { type: 'string', default: '' },
    report: { type: 'string' },
    /** Writes the table of docs/testing.md anew. */
    rewrite: { type: 'boolean', default: false },
  },
});

const workers = Number(values.workers);
const seedProof = new SeedProof({
  seeds: Number(values.seeds),
  more: Number(values.more),
  steps: Number(values.steps),
  workers,
  without: FAULTS.filter((fault) => values.without.split(',').includes(fault)),
});

function chosen(): readonly Mutation[] {
  const { area, only } = values;
  if (area !== undefined && !AREAS.has(area)) {
    throw new Error(`no area ${area}; there are ${[...AREAS.keys()].join(', ')}`);
  }
  const ofArea = area === undefined ? MUTATIONS : (AREAS.get(area) ?? []);
  return ofArea.filter(({ name }) => only === undefined || name.includes(only));
}

function testsOf({ noticedBy }: Mutation): readonly string[] {
  return noticedBy.filter((noticer) => noticer !== 'simulation');
}

function isForSeeds({ noticedBy }: Mutation): boolean {
  return noticedBy.includes('simulation') && values.by !== 'tests';
}

async function prove(mutation: Mutation): Promise<Outcome> {
  const outcome: Outcome = { mutation, seeds: null, red: null, error: null };
  try {
    const seeds = isForSeeds(mutation) ? await seedProof.prove(mutation) : null;
    const files = testsOf(mutation);
    if ((seeds?.caught ?? 0) > 0 || files.length === 0) return { ...outcome, seeds };
    return { ...outcome, seeds, red: await redUnder(mutation, files) };
  } catch (thrown) {
    return { ...outcome, error: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

/** A test that was only late has to be so again: the machine may have been busy. */
async function redUnder({ name }: Mutation, files: readonly string[]): Promise<RedTest | null> {
  const [first = null] = await runTests(files, name);
  if (first?.late !== true) return first;
  const [again = null] = await runTests(files, name);
  return again;
}

const outcomes = new Map<Mutation, Outcome>();

async function proveAll(mutations: readonly Mutation[], atATime: number): Promise<void> {
  const open = mutations.values();
  const one = async (): Promise<void> => {
    for (const mutation of open) {
      const outcome = await prove(mutation);
      outcomes.set(mutation, outcome);
      console.log(rowOf(outcome));
    }
  };
  await Promise.all(Array.from({ length: atATime }, one));
}

/** Before the first: the patches apply, and without any of them the tests are green. */
async function problemsBefore(mutations: readonly Mutation[]): Promise<readonly string[]> {
  const problems = await checkPatches(mutations);
  const files = [...new Set(mutations.flatMap(testsOf))];
  if (problems.length > 0 || files.length === 0) return problems;
  const red = await runTests(files, null);
  return red.map(({ file, test }) => `${file} fails without a mutation: ${test}`);
}

function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no', 'src', 'test') !== '';
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`;
  } catch {
    return 'unknown';
  }
}

const all = chosen();
const problems = await problemsBefore(all);
for (const problem of problems) console.log(problem);
if (problems.length === 0) {
  // A run of the simulation keeps all workers busy; runs of tests take one each.
  await proveAll(all.filter(isForSeeds), 1);
  await proveAll(
    all.filter((mutation) => !isForSeeds(mutation)),
    workers,
  );
}
const inOrder = all.flatMap((mutation) => outcomes.get(mutation) ?? []);
const survivors = inOrder.filter((outcome) => !isNoticed(outcome));
for (const outcome of survivors) console.log(`SURVIVED ${rowOf(outcome)}`);
const { broken } = seedProof;
if (broken.length > 0) console.log(`fail without a mutation: seeds ${broken.join(', ')}`);
console.log(`${inOrder.length - survivors.length} noticed, ${survivors.length} not`);
if (values.report !== undefined) writeFileSync(values.report, JSON.stringify(inOrder, null, 2));
if (values.rewrite && problems.length === 0) {
  const how = `${values.seeds} seeds, for what they miss up to ${values.more} more, of ${values.steps} steps${
    values.without === '' ? '' : `, without ${values.without}`
  }`;
  rewritePage({ mutations: MUTATIONS, outcomes: inOrder, commit: commit(), how });
}
process.exitCode = survivors.length + problems.length + broken.length > 0 ? 1 : 0;
