import { readFileSync, statSync } from 'node:fs';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { newPassword, systemRandom } from '../../base/random.ts';
import type { Invocation } from '../invocation.ts';
import { ask, isTerminal } from './prompt.ts';

const LINE_END = /\r?\n$/;

/**
 * The password in a file (`-`: standard input), without the end of its line; without a file it is asked for on a terminal.
 * @throws HoldfastError FILE_UNREADABLE, TOO_LARGE, USAGE
 */
export async function passwordFrom(
  file: string | undefined,
  { invocation, question }: { readonly invocation: Invocation; readonly question: string },
): Promise<string> {
  if (file !== undefined) return file === '-' ? await fromInput(invocation) : fromFile(file);
  if (isTerminal(invocation)) return (await ask(invocation, question, { hidden: true })).toString();
  throw new HoldfastError('USAGE', 'a password is needed', {
    field: 'password-file',
    hint: 'give it by --password-file FILE (- for standard input), or run this on a terminal',
  });
}

/** A password for a user: read as above and, from a terminal, twice; or made. */
export async function passwordToSet(
  { passwordFile, generate }: { readonly passwordFile?: string; readonly generate?: boolean },
  invocation: Invocation,
): Promise<{ readonly password: string; readonly isMade: boolean }> {
  if (generate === true) return { password: newPassword(systemRandom), isMade: true };
  const password = await passwordFrom(passwordFile, { invocation, question: 'new password: ' });
  if (passwordFile === undefined) {
    const again = await passwordFrom(undefined, { invocation, question: 'the same again: ' });
    if (again !== password)
      throw new HoldfastError('USAGE', 'the two are not the same', { field: 'password' });
  }
  return { password, isMade: false };
}

function fromFile(path: string): string {
  try {
    if (statSync(path).size > LIMITS.passwordBytesMax + 2) throw tooLong(path);
    return readFileSync(path, 'utf8').replace(LINE_END, '');
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError('FILE_UNREADABLE', `the password file ${path} cannot be read`, {
      field: 'password-file',
      hint: 'name a file with the password in its only line',
      cause,
    });
  }
}

async function fromInput({ stdin }: Invocation): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stdin as AsyncIterable<Buffer | string>) {
    chunks.push(Buffer.from(chunk));
    bytes += chunk.length;
    if (bytes > LIMITS.passwordBytesMax + 2) throw tooLong('standard input');
  }
  return Buffer.concat(chunks).toString().replace(LINE_END, '');
}

function tooLong(what: string): HoldfastError {
  return new HoldfastError('TOO_LARGE', `${what} holds more than ${LIMITS.passwordBytesMax} bytes`, {
    field: 'password-file',
  });
}
