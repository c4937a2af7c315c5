import { HoldfastError } from '../../base/errors.ts';

/**
 * What `work` resolves with, unless Ctrl-C comes first: then the command ends where it is. A data directory that was
 * being made carries a mark until it is whole, and the next init or join there begins by clearing it.
 * @throws HoldfastError CANCELLED
 */
export function orInterrupted<T>(work: Promise<T>, interrupted: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = (): void =>
      reject(
        new HoldfastError('CANCELLED', 'interrupted', {
          hint: 'run it again: it clears what this attempt left',
        }),
      );
    if (interrupted.aborted) cancel();
    interrupted.addEventListener('abort', cancel, { once: true });
    work.then(resolve, reject);
  });
}
