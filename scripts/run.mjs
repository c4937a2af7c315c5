/** What the other scripts share: where the checkout is, and running a program in it. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** The command line of a program that an installed package brings, run by this same Node. */
export const packageProgram = (file) => [process.execPath, path.join(root, 'node_modules', file)];

/** Runs a program in the checkout with this terminal's output. Answers its exit code (1 when a signal ended it). */
export function exitCodeOf([program, ...args], { output = 'inherit' } = {}) {
  const result = spawnSync(program, args, { cwd: root, stdio: ['ignore', output, 'inherit'] });
  if (result.error) throw result.error;
  return result.status ?? 1;
}

/** As `exitCodeOf`, for a program that has to succeed. What it prints goes to stderr: stdout belongs to the result. */
export function run(command) {
  const code = exitCodeOf(command, { output: 2 });
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}`);
}

/** Whether a process with this id runs now. */
export function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Ends a script with one line instead of a stack: what failed has already said why. */
export async function main(action) {
  try {
    process.exitCode = (await action()) ?? 0;
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
