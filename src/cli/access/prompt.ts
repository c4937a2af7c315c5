import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { type Invocation, interruption } from '../invocation.ts';

const LINE_ENDS = new Set([0x0a, 0x0d]);
const INTERRUPT = 0x03;
const END_OF_TRANSMISSION = 0x04;
const ERASE = new Set([0x08, 0x7f]);

/** Whether a person is there to be asked. */
export function isTerminal({ stdin, streams }: Invocation): boolean {
  return stdin.isTTY === true && streams.stderr.isTTY === true;
}

/**
 * A line that a person types; `hidden`: without showing it. The question goes to stderr.
 * @throws HoldfastError CANCELLED when it is broken off, TOO_LARGE
 */
export async function ask(
  { stdin, streams, interrupted }: Invocation,
  question: string,
  { hidden = false }: { readonly hidden?: boolean } = {},
): Promise<Buffer> {
  streams.stderr.write(question);
  if (hidden) stdin.setRawMode?.(true);
  try {
    return await line(stdin, interrupted);
  } finally {
    if (hidden) {
      stdin.setRawMode?.(false);
      streams.stderr.write('\n');
    }
  }
}

function line(stdin: Invocation['stdin'], interrupted: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const typed: number[] = [];
    const end = (done: () => void): void => {
      stdin.off('data', onData).off('end', onEnd);
      // At once: what flows while nobody listens is lost.
      stdin.pause();
      interrupted.removeEventListener('abort', onEnd);
      done();
    };
    const onEnd = (): void => end(() => reject(interruption()));
    const onData = (chunk: Buffer | string): void => {
      const bytes = Buffer.from(chunk);
      for (const [at, byte] of bytes.entries()) {
        if (byte === INTERRUPT || byte === END_OF_TRANSMISSION) return onEnd();
        if (LINE_ENDS.has(byte)) {
          end(() => resolve(Buffer.from(typed)));
          const rest = bytes.subarray(at + 1);
          if (rest.length > 0) stdin.unshift(rest);
          return undefined;
        }
        if (ERASE.has(byte)) erase(typed);
        else typed.push(byte);
        if (typed.length > LIMITS.passwordBytesMax) return end(() => reject(tooLong()));
      }
      return undefined;
    };
    stdin.on('data', onData).on('end', onEnd);
    interrupted.addEventListener('abort', onEnd);
    if (interrupted.aborted) onEnd();
    else stdin.resume();
  });
}

/** The last character: in UTF-8 its first byte is not 10xxxxxx. */
function erase(typed: number[]): void {
  let byte = typed.pop();
  while (byte !== undefined && (byte & 0xc0) === 0x80) byte = typed.pop();
}

function tooLong(): HoldfastError {
  return new HoldfastError('TOO_LARGE', `more than ${LIMITS.passwordBytesMax} bytes were typed`);
}
