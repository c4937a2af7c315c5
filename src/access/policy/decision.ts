import { HoldfastError } from '../../base/errors.ts';

/** What is denied says nothing of what the store holds: the answer is the same be there such a name or not. */
export type Decision =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly reason: string; readonly field: string | null };

export const ALLOWED: Decision = { allowed: true };

export function denied(reason: string, field: string | null = null): Decision {
  return { allowed: false, reason, field };
}

/** @throws HoldfastError PERMISSION_DENIED */
export function requireAllowed(decision: Decision): void {
  if (decision.allowed) return;
  throw new HoldfastError('PERMISSION_DENIED', decision.reason, {
    ...(decision.field === null ? {} : { field: decision.field }),
    hint: 'ask an administrator for a role that allows it',
  });
}
