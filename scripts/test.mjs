/**
 * `npm test` after install and build: every check, each also when one before it failed.
 * With CI_REPORT_FOLDER set, the outcome goes to checks.json there, and the tests' own to unit.json.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { exitCodeOf, main, packageProgram } from './run.mjs';

const reportFolder = process.env.CI_REPORT_FOLDER;
const vitest = [...packageProgram('vitest/vitest.mjs'), 'run', ...process.argv.slice(2)];
const reporters =
  reportFolder === undefined
    ? []
    : ['--reporter=default', '--reporter=json', `--outputFile.json=${path.join(reportFolder, 'unit.json')}`];

const CHECKS = {
  lint: [...packageProgram('oxlint/bin/oxlint'), '--type-aware'],
  format: [...packageProgram('@biomejs/biome/bin/biome'), 'check', '.'],
  types: [...packageProgram('typescript/bin/tsc'), '--noEmit', '-p', '.'],
  unit: [...vitest, ...reporters],
};

function runAll() {
  const outcomes = {};
  for (const [name, command] of Object.entries(CHECKS)) {
    process.stdout.write(`\n== ${name}\n`);
    outcomes[name] = exitCodeOf(command) === 0 ? 'passed' : 'failed';
  }
  const lines = Object.entries(outcomes).map(([name, outcome]) => `${outcome.padEnd(7)} ${name}`);
  process.stdout.write(`\n${lines.join('\n')}\n`);
  if (reportFolder !== undefined)
    writeFileSync(path.join(reportFolder, 'checks.json'), JSON.stringify(outcomes));
  return Object.values(outcomes).every((outcome) => outcome === 'passed') ? 0 : 1;
}

await main(runAll);
