import { writeFileSync } from 'node:fs';
import { runChaos } from './driver.ts';
import { parseOptions, USAGE } from './options.ts';
import { type ChaosSummary, renderComparison, renderSummary } from './summary.ts';

/** `npm run test:chaos -- --help`. CHAOS_SUMMARY names a file for the figures as JSON. Exit code 0: no violation; 1: there are; 2: wrong options. */
async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    process.stdout.write(USAGE);
    return 0;
  }
  let options: ReturnType<typeof parseOptions>;
  try {
    options = parseOptions(args);
  } catch (thrown) {
    process.stderr.write(`${thrown instanceof Error ? thrown.message : String(thrown)}\n\n${USAGE}`);
    return 2;
  }
  const summaries: ChaosSummary[] = [];
  for (const target of options.beside ? (['holdfast', 'etcd'] as const) : [options.target]) {
    const summary = await runChaos({ ...options, target }, (text) => process.stdout.write(`${text}\n`));
    process.stdout.write(`\n${renderSummary(summary)}\n`);
    summaries.push(summary);
  }
  const [one, other] = summaries;
  if (one !== undefined && other !== undefined) process.stdout.write(`\n${renderComparison(one, other)}\n`);
  const file = process.env['CHAOS_SUMMARY'] ?? '';
  if (file !== '') writeFileSync(file, `${JSON.stringify(summaries, null, 2)}\n`);
  return summaries.every((summary) => summary.violations.length === 0) ? 0 : 1;
}

process.exit(await main(process.argv.slice(2)));
