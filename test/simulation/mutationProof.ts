import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { buildPatched, checkPatches } from '../patches/patchedBuild.ts';
import { FAULTS } from './knobs.ts';
import { MUTATIONS, type Mutation } from './mutations.ts';
import { kindOf } from './shrink.ts';
import { Workers } from './workers.ts';

/** Takes each protecting line away in turn and counts the seeds that notice. */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    /** For those that the first seeds do not catch. */
    more: { type: 'string', default: '2000' },
    steps: { type: 'string', default: '2000' },
    workers: { type: 'string', default: String(availableParallelism()) },
    only: { type: 'string' },
    /** Kinds of faults left out, comma separated. */
    without: { type: 'string', default: '' },
    report: { type: 'string' },
  },
});

interface Proof {
  readonly mutation: Mutation;
  readonly caught: number;
  readonly seeds: number;
  /** What noticed, most frequent first. */
  readonly by: readonly string[];
}

async function prove(mutation: Mutation): Promise<Proof> {
  const program = `.rig/patched/mutation-${process.pid}.mjs`;
  await buildPatched({ entry: 'test/simulation/worker.ts', patches: [mutation], outfile: program });
  const workers = new Workers({ program, count: Number(values.workers) });
  const kinds = new Map<string, number>();
  let seeds = 0;
  let caught = 0;
  const run = async (
    range: { readonly from: number; readonly to: number },
    stopAtFirst: boolean,
  ): Promise<void> => {
    const orders = Array.from({ length: range.to - range.from }, (_, place) => ({
      seed: range.from + place,
      steps: Number(values.steps),
      without: FAULTS.filter((fault) => values.without.split(',').includes(fault)),
    }));
    await workers.run(orders, ({ failure }) => {
      seeds += 1;
      if (failure === null) return true;
      caught += 1;
      const kind = noticedBy(failure.message);
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      return !stopAtFirst;
    });
  };
  const first = Number(values.seeds);
  await run({ from: 1, to: first + 1 }, false);
  if (caught === 0) await run({ from: first + 1, to: first + Number(values.more) + 1 }, true);
  const by = [...kinds].toSorted(([, one], [, other]) => other - one).map(([kind]) => kind);
  return { mutation, caught, seeds, by };
}

/** The invariant that the first line of a failure names, or that an assertion in the product named. */
function noticedBy(message: string): string {
  const named = /\bI\d+\b|\bF\d+\b|CheckQuorum/.exec(message);
  return named?.[0] ?? kindOf(message).slice(0, 40);
}

const chosen = MUTATIONS.filter(({ name }) => values.only === undefined || name.includes(values.only));
const problems = await checkPatches(chosen);
for (const problem of problems) console.log(problem);
const proofs: Proof[] = [];
for (const mutation of problems.length > 0 ? [] : chosen) {
  const proof = await prove(mutation);
  proofs.push(proof);
  const { caught, seeds, by } = proof;
  console.log(
    `| ${mutation.name} | ${mutation.protects} | ${caught} of ${seeds} | ${by.slice(0, 3).join(', ')} |`,
  );
}
const survivors = proofs.filter(({ caught }) => caught === 0);
console.log(`${proofs.length - survivors.length} caught, ${survivors.length} survived`);
if (values.report !== undefined) writeFileSync(values.report, JSON.stringify(proofs, null, 2));
process.exitCode = survivors.length + problems.length > 0 ? 1 : 0;
