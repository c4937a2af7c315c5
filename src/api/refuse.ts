import type { HoldfastError } from '../base/errors.ts';

/** Throws what a check found, when it found something. */
export function refuse(reason: HoldfastError | null): void {
  if (reason !== null) throw reason;
}
