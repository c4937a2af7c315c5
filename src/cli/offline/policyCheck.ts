import { BUILT_IN_ROLES } from '../../access/policy/builtInRoles.ts';
import { parsePolicy } from '../../access/policy/policy.ts';
import { HoldfastError } from '../../base/errors.ts';
import { checkPolicy } from '../../command/checkAccess.ts';
import type { Policy } from '../../proto/storage.ts';

/** What the cluster would say of a policy, whatever its state is. @throws HoldfastError INVALID_ARGUMENT naming the field */
export function checkPolicyFile(policy: Policy): void {
  const problem = checkPolicy(policy);
  if (problem !== null) throw problem;
  parsePolicy(policy);
  if (!BUILT_IN_ROLES.has(policy.role)) return;
  throw new HoldfastError('INVALID_ARGUMENT', `${policy.role} is a role that every cluster has`, {
    field: 'role',
    hint: 'choose another name',
  });
}
