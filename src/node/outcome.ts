import { HoldfastError, isErrorCode } from '../base/errors.ts';
import type { Outcome } from '../proto/storage.ts';

/** The error that an outcome stands for, or null when the command was done. */
export function outcomeFailure(outcome: Outcome): HoldfastError | null {
  const { failure } = outcome;
  if (failure === null || failure === undefined) return null;
  const code = isErrorCode(failure.code) ? failure.code : 'INTERNAL';
  return new HoldfastError(code, failure.message, {
    ...(failure.field === '' ? {} : { field: failure.field }),
    ...(failure.hint === '' ? {} : { hint: failure.hint }),
  });
}
