import type { Prerequisite } from './machine.ts';
import { percentile } from './recovery.ts';
import type { FaultRecord } from './scheduler.ts';

export interface ChaosSummary {
  readonly target: string;
  readonly seed: number;
  readonly nodes: number;
  readonly seconds: number;
  readonly operations: number;
  /** Those that struck. */
  readonly faults: number;
  readonly faultsPerHour: number;
  readonly kinds: readonly KindSummary[];
  /** Faults that could not be done on this machine. */
  readonly notRun: readonly NotRun[];
  readonly segments: number;
  /** Changes of the control key that were finished meanwhile. */
  readonly rekeys: number;
  readonly violations: readonly string[];
  /** Where everything is, if it was kept. */
  readonly dir: string | null;
}

export interface NotRun {
  readonly name: string;
  readonly why: string;
  /** What the machine lacks. */
  readonly missing: readonly Prerequisite[];
}

export interface KindSummary {
  readonly kind: string;
  /** Those that struck; the times are theirs. */
  readonly count: number;
  /** Those that were in force, and that nothing met. */
  readonly missed: number;
  readonly afterInject: Times | null;
  readonly afterHeal: Times | null;
}

/** Milliseconds until a write and a read had succeeded again. */
export interface Times {
  readonly median: number;
  readonly p95: number;
  readonly max: number;
  /** How often it was not seen before the measuring ended. */
  readonly never: number;
}

export function timesOf(all: readonly (number | null)[]): Times | null {
  const known = all.filter((time) => time !== null);
  if (all.length === 0) return null;
  const at = (percent: number) => (known.length === 0 ? Number.NaN : Math.round(percentile(known, percent)));
  return { median: at(50), p95: at(95), max: at(100), never: all.length - known.length };
}

export function kindSummaries(records: readonly FaultRecord[]): readonly KindSummary[] {
  const kinds = [...new Set(records.map((record) => record.kind))].toSorted();
  return [...kinds, ALL].map((kind) => {
    const all = records.filter((record) => kind === ALL || record.kind === kind);
    const ours = all.filter((record) => record.struck);
    return {
      kind,
      count: ours.length,
      missed: all.length - ours.length,
      afterInject: timesOf(ours.map((record) => record.afterInjectMs)),
      afterHeal: timesOf(
        ours.filter((record) => record.healedMs !== null).map((record) => record.afterHealMs),
      ),
    };
  });
}

const ALL = 'all';

const cell = (times: Times | null): string =>
  times === null
    ? '-'
    : `${times.median} / ${times.p95} / ${times.max}${times.never > 0 ? ` (${times.never} never)` : ''}`;

function renderMissed(kinds: readonly KindSummary[]): readonly string[] {
  const missed = kinds.filter((one) => one.missed > 0 && one.kind !== ALL);
  if (missed.length === 0) return [];
  return [
    `did not strike: ${missed.map((one) => `${one.kind} (${one.missed} of ${one.count + one.missed})`).join(', ')}`,
  ];
}

export function renderSummary(summary: ChaosSummary): string {
  const rows = [
    ['fault', 'count', 'after it: median / p95 / max ms', 'after its end: median / p95 / max ms'],
    ...summary.kinds.map(({ kind, count, afterInject, afterHeal }) => [
      kind,
      String(count),
      cell(afterInject),
      cell(afterHeal),
    ]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const table = rows.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return [
    ...table,
    '',
    ...renderMissed(summary.kinds),
    ...summary.notRun.map(({ name, why }) => `not run: ${name} (${why})`),
    `${summary.target}, ${summary.nodes} nodes, seed ${summary.seed}: ${Math.round(summary.seconds)} s, ` +
      `${summary.operations} operations, ${summary.faults} faults (${summary.faultsPerHour} an hour), ` +
      `${summary.segments} histories checked, ${summary.rekeys} rekeys finished, ${summary.violations.length} violations`,
    ...summary.violations.map((violation) => `VIOLATION ${violation}`),
    ...(summary.dir === null ? [] : [`everything is kept in ${summary.dir}`]),
  ].join('\n');
}

/** Two runs side by side. */
export function renderComparison(one: ChaosSummary, other: ChaosSummary): string {
  const kinds = [...new Set([...one.kinds, ...other.kinds].map(({ kind }) => kind))];
  const of = (summary: ChaosSummary, kind: string) => summary.kinds.find((found) => found.kind === kind);
  return [
    `| fault | ${one.target} | ${other.target} | ${one.target}, after its end | ${other.target}, after its end |`,
    '|---|---|---|---|---|',
    ...kinds.map((kind) => {
      const [a, b] = [of(one, kind), of(other, kind)];
      const cells = [a?.afterInject, b?.afterInject, a?.afterHeal, b?.afterHeal].map((times) =>
        cell(times ?? null),
      );
      return `| ${kind} (${a?.count ?? 0}, ${b?.count ?? 0}) | ${cells.join(' | ')} |`;
    }),
  ].join('\n');
}
