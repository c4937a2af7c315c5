/**
 * `npx tsx cluster-tests/history/check.ts FILE`: checks a recorded history. Prints a line for each key, watch and
 * check. Exit code 0: nothing is wrong; 1: a violation; 2: no verdict, or no history.
 */
import { checkHistory, renderReport } from './checkHistory.ts';
import { readHistory } from './readHistory.ts';
import type { Verdict } from './types.ts';

const EXIT_CODES: Readonly<Record<Verdict, number>> = { ok: 0, illegal: 1, unknown: 2 };

async function main(args: readonly string[]): Promise<number> {
  const [path] = args;
  if (path === undefined || args.length > 1) {
    process.stderr.write('usage: check.ts FILE\n');
    return EXIT_CODES.unknown;
  }
  try {
    const report = checkHistory(await readHistory(path));
    process.stdout.write(`${renderReport(report, { all: true })}\n`);
    return EXIT_CODES[report.verdict];
  } catch (thrown) {
    process.stderr.write(`${thrown instanceof Error ? thrown.message : String(thrown)}\n`);
    return EXIT_CODES.unknown;
  }
}

process.exitCode = await main(process.argv.slice(2));
