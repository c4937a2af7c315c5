/**
 * Reads vitest's JSON report and prints `PASSED FAILED`. Names of tests that were skipped on this machine are added
 * to skipped.txt beside the report, so that a run says what it did not look at; those that failed to failed.txt, the first
 * ones with how, so that the end of a long output says what to look at: the others mostly follow from the first.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';

const file = process.argv[2];
const SHOWN_LINES = 24;
const SHOWN_FAILURES = 4;
const report = JSON.parse(readFileSync(file, 'utf8'));
const tests = report.testResults.flatMap(({ assertionResults }) => assertionResults);
const having = (...states) => tests.filter(({ status }) => states.includes(status));
const brokenFiles = report.testResults.filter(
  ({ status, assertionResults }) =>
    status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
);

const tell = (name, lines) => appendFileSync(path.join(path.dirname(file), name), `${lines.join('\n')}\n`);
const shown = (text) =>
  String(text)
    .split('\n')
    .slice(0, SHOWN_LINES)
    .map((line) => `  ${line}`);

for (const { fullName } of having('pending', 'skipped', 'todo', 'disabled')) {
  tell('skipped.txt', [`skipped here: ${fullName}`]);
}
for (const [place, { fullName, failureMessages }] of having('failed').entries()) {
  const how = place < SHOWN_FAILURES ? shown(failureMessages.join('\n')) : [];
  tell('failed.txt', [`failed: ${fullName}`, ...how]);
}
for (const { name, message } of brokenFiles) tell('failed.txt', [`failed: ${name}`, ...shown(message)]);
process.stdout.write(`${having('passed').length} ${having('failed').length + brokenFiles.length}\n`);
