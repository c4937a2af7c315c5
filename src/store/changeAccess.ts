import { unreachable } from '../base/assert.ts';
import type { CommandBody } from '../command/body.ts';
import type { Access } from './access.ts';
import type { AccessChange } from './granting.ts';

/** What changes who may do what, and who is somebody. */
export type AccessBody = Extract<
  CommandBody,
  {
    kind:
      | 'putPolicy'
      | 'deletePolicy'
      | 'createAccessToken'
      | 'revokeAccessToken'
      | 'createUser'
      | 'deleteUser'
      | 'setPassword'
      | 'setUserRoles'
      | 'login'
      | 'endSession'
      | 'resetAdmin';
  }
>;

/** Changes the state or throws a refusal, never both. */
export function changeAccess(access: Access, body: AccessBody, at: AccessChange): void {
  const { users } = access;
  switch (body.kind) {
    case 'putPolicy':
      return access.putPolicy(body.policy, at);
    case 'deletePolicy':
      return access.deletePolicy(body.role);
    case 'createAccessToken':
      return access.createToken(body.create, at);
    case 'revokeAccessToken':
      return access.revokeToken(body.id, at);
    case 'createUser':
      return users.create(body.create, at);
    case 'deleteUser':
      return users.delete(body.name, at);
    case 'setPassword':
      return users.setPassword(body.set, at);
    case 'setUserRoles':
      return users.setRoles(body.set, at);
    case 'login':
      return users.login(body.login.passwordHash, at);
    case 'endSession':
      return users.endSession(at);
    case 'resetAdmin':
      return users.resetAdmin(body.reset, at);
    default:
      return unreachable(body, 'change of access');
  }
}
