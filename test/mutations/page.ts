import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from '../tidy/sourceTree.ts';
import type { Mutation } from './mutation.ts';
import type { SeedVerdict } from './seedProof.ts';
import type { RedTest } from './testRun.ts';

const PAGE = path.join(ROOT, 'docs/testing.md');
const BEGIN = '<!-- mutations: begin -->';
const END = '<!-- mutations: end -->';

/** What became of one mutation. */
export interface Outcome {
  readonly mutation: Mutation;
  readonly seeds: SeedVerdict | null;
  readonly red: RedTest | null;
  /** Why the proof could not be made. */
  readonly error: string | null;
}

const NOBODY = 'nobody';

export function isNoticed({ seeds, red, error }: Outcome): boolean {
  return error === null && ((seeds?.caught ?? 0) > 0 || red !== null);
}

/** One row of the table, without its end of line. */
export function rowOf(outcome: Outcome): string {
  const { mutation, seeds, red, error } = outcome;
  const cells: string[] = [];
  if (seeds !== null && (seeds.caught > 0 || red === null)) {
    const first = seeds.by[0] === undefined ? '' : `, ${seeds.by[0]}`;
    cells.push(
      `${seeds.caught > 0 ? '' : `${NOBODY}; `}simulation: ${seeds.caught} of ${seeds.seeds} seeds${first}`,
    );
  }
  if (red !== null) {
    const asked = seeds === null ? '' : ` (no seed of ${seeds.seeds})`;
    cells.push(`\`${red.file.replace(/^test\//, '').replace(/\.test\.ts$/, '')}\`: ${red.test}${asked}`);
  }
  if (error !== null) cells.push(`${NOBODY}: ${error.split('\n')[0] ?? ''}`);
  if (cells.length === 0) cells.push(NOBODY);
  return `| ${[mutation.name, mutation.protects, cells.join('; ')].map(escaped).join(' | ')} |`;
}

/** Whether a row says that nobody noticed, or that nobody was asked. */
export function isUnnoticed(row: string): boolean {
  return row.split(' | ').at(-1)?.startsWith(NOBODY) ?? true;
}

function escaped(cell: string): string {
  return cell.replaceAll('|', '\\|');
}

/** The rows of docs/testing.md, by the mutation's name. */
export function rowsOnPage(): ReadonlyMap<string, string> {
  const [, section = ''] = readFileSync(PAGE, 'utf8').split(BEGIN);
  const rows = (section.split(END)[0] ?? '').split('\n').filter((line) => line.startsWith('| '));
  return new Map(rows.slice(1).map((row) => [row.split(' | ')[0]?.slice(2) ?? '', row]));
}

export interface PageText {
  readonly mutations: readonly Mutation[];
  readonly outcomes: readonly Outcome[];
  readonly commit: string;
  /** How the seeds were run. */
  readonly how: string;
}

/** Writes the table anew. Rows of mutations that were not run stay as they are; one that never was says so. */
export function rewritePage({ mutations, outcomes, commit, how }: PageText): void {
  const before = rowsOnPage();
  const now = new Map(outcomes.map((outcome) => [outcome.mutation.name, rowOf(outcome)]));
  const rows = mutations.map(({ name, protects }) => {
    return now.get(name) ?? before.get(name) ?? `| ${name} | ${protects} | ${NOBODY}: not run yet |`;
  });
  const bySeeds = rows.filter((row) => row.includes(' | simulation: ')).length;
  const unnoticed = rows.filter(isUnnoticed).length;
  const which = outcomes.length === mutations.length ? 'All' : `The latest ${outcomes.length}`;
  const text = [
    BEGIN,
    `${rows.length} mutations: ${bySeeds} noticed by the simulation, ${rows.length - bySeeds - unnoticed} by tests, ${unnoticed} by nobody.`,
    `${which} were run at commit \`${commit}\` (${how}).`,
    '',
    '| line taken away | protects | noticed by |',
    '|---|---|---|',
    ...rows,
    END,
  ].join('\n');
  const page = readFileSync(PAGE, 'utf8');
  const [head, rest] = page.split(BEGIN);
  if (head === undefined || rest === undefined)
    throw new Error(`${PAGE} has no place for the table: ${BEGIN}`);
  writeFileSync(PAGE, `${head}${text}${rest.split(END)[1] ?? ''}`);
}
