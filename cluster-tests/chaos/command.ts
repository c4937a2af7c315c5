import { type ExecFileSyncOptions, execFileSync } from 'node:child_process';

/** Runs a program to its end. @throws Error with what it said */
export function command(program: string, args: readonly string[], options: ExecFileSyncOptions = {}): string {
  try {
    const stdio = ['ignore', 'pipe', 'pipe'] as const;
    return execFileSync(program, args, { ...options, stdio: [...stdio], timeout: 30_000 }).toString();
  } catch (thrown) {
    const said = (thrown as { stderr?: Buffer }).stderr?.toString().trim() ?? '';
    throw new Error(`${program} ${args.join(' ')}: ${said === '' ? String(thrown) : said}`, {
      cause: thrown,
    });
  }
}

/** The same where failure is an answer. */
export function succeeds(program: string, args: readonly string[]): boolean {
  try {
    command(program, args);
    return true;
  } catch {
    return false;
  }
}
