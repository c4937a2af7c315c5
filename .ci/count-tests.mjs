/**
 * Reads vitest's JSON report and prints `PASSED FAILED`. Names of tests that were skipped on this machine are added
 * to skipped.txt beside the report, so that a run says what it did not look at.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';

const file = process.argv[2];
const report = JSON.parse(readFileSync(file, 'utf8'));
const tests = report.testResults.flatMap(({ assertionResults }) => assertionResults);
const having = (...states) => tests.filter(({ status }) => states.includes(status));
const brokenFiles = report.testResults.filter(
  ({ status, assertionResults }) =>
    status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
);

for (const { fullName } of having('pending', 'skipped', 'todo', 'disabled')) {
  appendFileSync(path.join(path.dirname(file), 'skipped.txt'), `skipped here: ${fullName}\n`);
}
process.stdout.write(`${having('passed').length} ${having('failed').length + brokenFiles.length}\n`);
