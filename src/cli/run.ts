import { CommanderError } from 'commander';
import { type ErrorCode, HoldfastError, systemErrorCode, toHoldfastError } from '../base/errors.ts';
import { type Invocation, interruption } from './invocation.ts';
import { Output } from './output.ts';
import { buildProgram } from './program.ts';

/** Errors in what was typed or set, before anything was done: exit 2. */
const USAGE_CODES: ReadonlySet<ErrorCode> = new Set(['USAGE', 'CONFIG_INVALID']);

/**
 * Runs one command line to its end. `words`: what was typed after the program's name.
 * Resolves with the exit status: 0 done, 1 refused or failed, 2 wrong usage.
 */
export async function run(
  invocation: Omit<Invocation, 'exit'>,
  words: readonly string[],
): Promise<0 | 1 | 2> {
  const format = wantsJson(words) ? 'json' : 'table';
  const output = new Output({ format, streams: invocation.streams, colors: false });
  const exit: Invocation['exit'] = { status: 0 };
  const program = buildProgram({ ...invocation, exit });
  try {
    await program.parseAsync([...words], { from: 'user' });
    return exit.status;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return usageStatus(thrown, output);
    const error = shownError(fileFailure(thrown) ?? toHoldfastError(thrown), invocation.interrupted);
    output.error(error);
    return USAGE_CODES.has(error.code) ? 2 : 1;
  }
}

/** The parser has told people already what is wrong; programs are told here. */
function usageStatus(error: CommanderError, output: Output): 0 | 2 {
  if (error.exitCode === 0) return 0;
  if (output.format === 'json') {
    const message = error.code === 'commander.help' ? 'a command is missing' : firstLine(error.message);
    output.error(new HoldfastError('USAGE', message, { hint: 'see holdfast --help' }));
  }
  return 2;
}

/** A file that the system refuses is no defect of ours; null for everything else. */
function fileFailure(thrown: unknown): HoldfastError | null {
  const code = systemErrorCode(thrown);
  if (code === undefined || !(thrown instanceof Error) || !('path' in thrown)) return null;
  return new HoldfastError(
    'FILE_UNREADABLE',
    `${String(thrown.path)} cannot be used: the system says ${code}`,
    {
      hint: 'check the path, its owner and mode, and the free space of its disk',
      cause: thrown,
    },
  );
}

/** After Ctrl-C every failure is the interruption, except one that says what may have happened. */
function shownError(error: HoldfastError, interrupted: AbortSignal): HoldfastError {
  if (!interrupted.aborted || error.code === 'OUTCOME_UNKNOWN') return error;
  // What a closed client says is only how the interruption came about.
  return error.code === 'CANCELLED' && !error.message.startsWith('the client ') ? error : interruption();
}

/** `--output json` in what was typed, also when the rest does not parse. */
export function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf('--');
  const options = end === -1 ? words : words.slice(0, end);
  return options.some(
    (word, position) => word === '--output=json' || (word === '--output' && options[position + 1] === 'json'),
  );
}

function firstLine(message: string): string {
  return message.replace(/^error: /, '').split('\n')[0] ?? message;
}
