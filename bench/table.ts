import type { LoadResult } from './load.ts';

export interface Row {
  readonly name: string;
  readonly runs: readonly LoadResult[];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function cell(value: number, digits: number): string {
  return Number.isNaN(value) ? '–' : value.toFixed(digits);
}

/** Medians over the rounds as one Markdown table, and the ratios that the comparison is about. */
export function table(rows: readonly Row[]): string {
  const perSecond = (name: string): number => {
    const row = rows.find((one) => one.name === name);
    return row === undefined ? Number.NaN : median(row.runs.map((run) => run.perSecond));
  };
  const lines = [
    '| what | operations/s, median | min – max | p50 ms | p99 ms | failures |',
    '|---|---|---|---|---|---|',
    ...rows.map(({ name, runs }) => {
      const rates = runs.map((run) => run.perSecond);
      const failures = runs.reduce((sum, run) => sum + run.failures, 0);
      const p50 = cell(median(runs.map((run) => run.p50Ms)), 1);
      const p99 = cell(median(runs.map((run) => run.p99Ms)), 1);
      return `| ${name} | ${cell(median(rates), 0)} | ${cell(Math.min(...rates), 0)} – ${cell(Math.max(...rates), 0)} | ${p50} | ${p99} | ${failures} |`;
    }),
  ];
  for (const operation of ['put', 'get']) {
    const faster = Math.max(
      perSecond(`etcd ${operation}, h2load`),
      perSecond(`etcd ${operation}, our generator`),
    );
    const ratio = perSecond(`holdfast session ${operation}`) / faster;
    if (!Number.isNaN(ratio))
      lines.push('', `holdfast ${operation} / etcd ${operation} (the faster generator): ${ratio.toFixed(2)}`);
  }
  lines.push('', "h2load's p50 column holds its mean.");
  return lines.join('\n');
}
