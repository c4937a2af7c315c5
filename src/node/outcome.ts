import { errorOfFields, type HoldfastError } from '../base/errors.ts';
import type { Outcome } from '../proto/storage.ts';

/** The error that an outcome stands for, or null when the command was done. */
export function outcomeFailure({ failure }: Outcome): HoldfastError | null {
  return failure ? errorOfFields(failure) : null;
}
