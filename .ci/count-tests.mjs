/**
 * Reads vitest's JSON report and prints `PASSED FAILED`. Names of tests that were skipped on this machine are added
 * to skipped.txt beside the report, so that a run says what it did not look at; those that failed to failed.txt, with
 * how, so that the end of a long output says what to look at.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';

const file = process.argv[2];
const SHOWN_LINES = 12;
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
for (const { fullName, failureMessages } of having('failed')) {
  tell('failed.txt', [`failed: ${fullName}`, ...shown(failureMessages.join('\n'))]);
}
for (const { name, message } of brokenFiles) tell('failed.txt', [`failed: ${name}`, ...shown(message)]);
process.stdout.write(`${having('passed').length} ${having('failed').length + brokenFiles.length}\n`);
