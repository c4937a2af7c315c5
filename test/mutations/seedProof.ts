import { rm } from 'node:fs/promises';
import path from 'node:path';
import { buildPatched } from '../patches/patchedBuild.ts';
import type { Fault } from '../simulation/knobs.ts';
import { kindOf } from '../simulation/shrink.ts';
import type { SeedReport } from '../simulation/worker.ts';
import { Workers } from '../simulation/workers.ts';
import { ROOT } from '../tidy/sourceTree.ts';
import type { Mutation } from './mutation.ts';

/** Where programs with a mutation lie while they run. */
export const PROOF_FOLDER = '.rig/patched';

export interface SeedProofOptions {
  /** All of these are run, from seed 1 on. */
  readonly seeds: number;
  /** For a mutation that those do not notice: up to so many more, until one does. */
  readonly more: number;
  readonly steps: number;
  readonly workers: number;
  readonly without: readonly Fault[];
}

export interface SeedVerdict {
  readonly caught: number;
  readonly seeds: number;
  /** What noticed, most frequent first. */
  readonly by: readonly string[];
}

/** Runs the simulation with a mutation, and counts the seeds that fail with it and do not fail without. */
export class SeedProof {
  readonly #options: SeedProofOptions;
  /** By seed, for those that had to be asked. */
  readonly #soundWithout = new Map<number, boolean>();

  constructor(options: SeedProofOptions) {
    this.#options = options;
  }

  /** Seeds that fail with no mutation at all: they prove nothing, and are bugs. */
  get broken(): readonly number[] {
    return [...this.#soundWithout].filter(([, sound]) => !sound).map(([seed]) => seed);
  }

  async prove(mutation: Mutation): Promise<SeedVerdict> {
    const { seeds, more } = this.#options;
    const program = await this.#built([mutation]);
    const kinds = new Map<string, number>();
    let caught = 0;
    let run = 0;
    /** @returns whether more seeds are to be run */
    const portion = async (range: SeedRange): Promise<boolean> => {
      const reports = await this.#run(program, numbers(range), range.stopAtFirst);
      const failed = reports.filter(({ failure }) => failure !== null);
      await this.#askWithout(failed.map(({ seed }) => seed));
      run += reports.length;
      for (const { seed, failure } of failed) {
        if (failure === null || this.#soundWithout.get(seed) !== true) continue;
        caught += 1;
        const kind = noticedBy(failure.message);
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      }
      return caught === 0 && run < seeds + more;
    };
    try {
      let unnoticed = await portion({ from: 1, to: seeds, stopAtFirst: false });
      while (unnoticed) unnoticed = await portion({ from: run + 1, to: seeds + more, stopAtFirst: true });
    } finally {
      await remove(program);
    }
    const by = [...kinds].toSorted(([, one], [, other]) => other - one).map(([kind]) => kind);
    return { caught, seeds: run, by };
  }

  async #askWithout(seeds: readonly number[]): Promise<void> {
    const open = seeds.filter((seed) => !this.#soundWithout.has(seed));
    if (open.length === 0) return;
    const program = await this.#built([]);
    const reports = await this.#run(program, open, false);
    for (const { seed, failure } of reports) this.#soundWithout.set(seed, failure === null);
    await remove(program);
  }

  async #built(patches: readonly Mutation[]): Promise<string> {
    const outfile = `${PROOF_FOLDER}/mutation-${process.pid}-${patches.length}.mjs`;
    await buildPatched({ entry: 'test/simulation/worker.ts', patches, outfile });
    return path.join(ROOT, outfile);
  }

  async #run(program: string, seeds: readonly number[], stopAtFirst: boolean): Promise<SeedReport[]> {
    const { workers: count, steps, without } = this.#options;
    const reports: SeedReport[] = [];
    await new Workers({ program, count }).run(
      seeds.map((seed) => ({ seed, steps, without })),
      (report) => {
        reports.push(report);
        return report.failure === null || !stopAtFirst;
      },
    );
    return reports;
  }
}

interface SeedRange {
  readonly from: number;
  readonly to: number;
  readonly stopAtFirst: boolean;
}

function numbers({ from, to }: SeedRange): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, place) => from + place);
}

/** The invariant that the first line of a failure names, or that an assertion in the product named. */
function noticedBy(message: string): string {
  const named = /\bI\d+\b|\bF\d+\b|CheckQuorum/.exec(message);
  return (
    named?.[0] ??
    kindOf(message)
      .replace(/\b[0-9a-f]{16}\b/, 'a node')
      .slice(0, 40)
  );
}

async function remove(program: string): Promise<void> {
  await rm(program, { force: true });
  await rm(`${program}.map`, { force: true });
}
