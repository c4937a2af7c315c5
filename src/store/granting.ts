import { requireAllowed } from '../access/policy/decision.ts';
import type { ParsedPolicy } from '../access/policy/policy.ts';
import type { Rights } from '../access/policy/rights.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Principal } from '../proto/storage.ts';

/** Where and when a command is applied, and by whose rights. */
export interface AccessChange {
  readonly number: number;
  readonly sub: number;
  readonly timeMs: number;
  readonly principal: Principal;
  readonly rights: Rights;
}

/** Nobody grants what he does not have, or takes it from others. @throws HoldfastError PERMISSION_DENIED */
export function requireGrantable(rights: Rights, policy: ParsedPolicy): void {
  if (rights.includes(policy)) return;
  requireAllowed({
    allowed: false,
    reason: `the role ${policy.role} allows more than who asks for this may do`,
    field: 'role',
  });
}

/**
 * What somebody may do is judged by the rules of all his roles together, wherever he asks for something.
 * @throws HoldfastError INVALID_ARGUMENT
 */
export function requireFewRules(policies: readonly ParsedPolicy[], field: 'roles' | 'rules'): void {
  const count = policies.reduce((sum, { rules }) => sum + rules.length, 0);
  const most = LIMITS.rulesTogetherMax;
  if (count <= most) return;
  const message = `the roles of one access token or user would have ${count} rules together, more than ${most}`;
  throw new HoldfastError('INVALID_ARGUMENT', message, {
    field,
    hint: 'give fewer roles, or write policies with fewer rules',
  });
}

export function noRole(role: string): HoldfastError {
  return new HoldfastError('NOT_FOUND', `there is no role ${role}`, {
    field: 'role',
    hint: 'holdfast policy list shows which there are',
  });
}

export function full(what: string, most: number, hint: string): HoldfastError {
  return new HoldfastError('OVERLOADED', `${most} ${what} are kept already`, { hint });
}

/** The same whatever is wrong with it: an id or a name alone must tell nothing. */
export function unknownToken(): HoldfastError {
  return new HoldfastError(
    'UNAUTHENTICATED',
    'the access token or the session is unknown, ended or past its time',
    {
      field: 'token',
      hint: 'log in again: holdfast login; for a service, ask an administrator for another token: holdfast token create',
    },
  );
}
