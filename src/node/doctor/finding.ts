import { toHoldfastError } from '../../base/errors.ts';

/** What one check of `holdfast doctor` has found. */
export interface Finding {
  /** What was looked at, in one to three words. */
  readonly check: string;
  /** `failure`: something does not work, or will not. `warning`: it may come to that. `notice`: it could be better. */
  readonly severity: 'ok' | 'notice' | 'warning' | 'failure';
  /** One sentence. Never a secret. */
  readonly message: string;
  /**
   * One command that mends it, as it is typed, on the machine that the message names; null when nothing needs mending.
   * Words in capitals stand for what only the operator knows.
   */
  readonly mend: string | null;
}

export function ok(check: string, message: string): Finding {
  return { check, severity: 'ok', message, mend: null };
}

export function notice(check: string, message: string, mend: string): Finding {
  return { check, severity: 'notice', message, mend };
}

export function warning(check: string, message: string, mend: string): Finding {
  return { check, severity: 'warning', message, mend };
}

export function failure(check: string, message: string, mend: string): Finding {
  return { check, severity: 'failure', message, mend };
}

/** A refusal as a failure: its sentence, and the command that its hint tells to run; `mend` when it tells none. */
export function failureOf(check: string, thrown: unknown, mend: string): Finding {
  const { message, hint } = toHoldfastError(thrown);
  return failure(check, message, /^Run: (.+)$/.exec(hint ?? '')?.[1] ?? mend);
}
