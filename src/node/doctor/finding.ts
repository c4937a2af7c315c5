import { type HoldfastError, toHoldfastError } from '../../base/errors.ts';

/** What one check of `holdfast doctor` has found. */
export interface Finding {
  /** What was looked at, in one or two words. */
  readonly check: string;
  readonly severity: 'ok' | 'warning' | 'failure';
  /** One sentence. Never a secret. */
  readonly message: string;
  /** One command, or one thing to do; null when nothing needs mending. */
  readonly mend: string | null;
}

export function ok(check: string, message: string): Finding {
  return { check, severity: 'ok', message, mend: null };
}

export function warning(check: string, message: string, mend: string): Finding {
  return { check, severity: 'warning', message, mend };
}

export function failure(check: string, message: string, mend: string): Finding {
  return { check, severity: 'failure', message, mend };
}

/** A refusal as a failure: its sentence, and its hint as what mends it. */
export function failureOf(check: string, thrown: unknown, mend: string): Finding {
  const error: HoldfastError = toHoldfastError(thrown);
  return failure(check, error.message, error.hint ?? mend);
}
