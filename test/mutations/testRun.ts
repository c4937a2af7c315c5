import { spawn } from 'node:child_process';
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { ROOT } from '../tidy/sourceTree.ts';
import { IN_FORCE, MUTATION_VARIABLE } from './inForce.ts';
import { PROOF_FOLDER } from './seedProof.ts';

const VITEST = path.join(ROOT, 'node_modules/vitest/vitest.mjs');
const RUN_DEADLINE_MS = 300_000;

/** What vitest's reporter `json` says, as far as it is read. */
interface JsonReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

/** Neither red nor green: the tests could not be run as meant. */
export class ProofError extends Error {
  override readonly name = 'ProofError';
}

/** A test that failed. */
export interface RedTest {
  /** From the root of the checkout. */
  readonly file: string;
  readonly test: string;
  /** It did not end in time: what waits for ever notices too, but so does a machine that is busy. */
  readonly late: boolean;
}

let runs = 0;

/**
 * Runs files of tests in a process of their own, under a mutation or under none.
 * @returns the tests that failed; at most a few, since the run ends with the first
 * @throws ProofError when the mutated file was not loaded, or a file of tests broke down outside of its tests
 */
export async function runTests(
  files: readonly string[],
  mutation: string | null,
): Promise<readonly RedTest[]> {
  runs += 1;
  const outputFile = path.join(ROOT, PROOF_FOLDER, `tests-${process.pid}-${runs}.json`);
  await mkdir(path.dirname(outputFile), { recursive: true });
  const said = await vitest(['--reporter=json', `--outputFile.json=${outputFile}`, ...files], mutation ?? '');
  const text = await readFile(outputFile, 'utf8').catch(() => null);
  await rm(outputFile, { force: true });
  if (text === null) throw new ProofError(`no report from vitest: ${said.slice(-2_000)}`);
  if (mutation !== null && !said.includes(IN_FORCE)) throw new ProofError('these tests do not load the file');
  return redTests(JSON.parse(text) as JsonReport);
}

function redTests({ testResults }: JsonReport): readonly RedTest[] {
  if (testResults.length === 0) throw new ProofError('there are no such tests');
  const red: RedTest[] = [];
  for (const { name, assertionResults } of testResults) {
    const file = path.relative(ROOT, name).replaceAll(path.sep, '/');
    for (const { status, fullName, failureMessages } of assertionResults) {
      const late = failureMessages.some((message) => /timed out in \d+ms/.test(message));
      if (status === 'failed') red.push({ file, test: fullName.trim(), late });
    }
  }
  const broken = testResults.find(({ status, message }) => status === 'failed' && message !== '');
  if (red.length === 0 && broken !== undefined)
    throw new ProofError(`${path.relative(ROOT, broken.name)}: ${broken.message.slice(0, 500)}`);
  return red;
}

function vitest(args: readonly string[], mutation: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const config = ['run', '--config', 'vitest.mutations.config.ts'];
    const child = spawn(process.execPath, [VITEST, ...config, ...args], {
      cwd: ROOT,
      env: { ...process.env, [MUTATION_VARIABLE]: mutation, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const deadline = setTimeout(() => child.kill('SIGKILL'), RUN_DEADLINE_MS);
    let said = '';
    const hear = (chunk: Buffer): void => {
      said = said.slice(-100_000) + chunk.toString();
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', reject);
    child.once('close', () => {
      clearTimeout(deadline);
      resolve(said);
    });
  });
}
