/** The methods of holdfast.v1.Access, all unary. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import {
  checkAccessTokenId,
  checkCreateAccessToken,
  checkPolicy,
  checkRole,
  checkRoles,
  checkUserName,
  checkWho,
} from '../command/checkAccess.ts';
import { checkKey, invalid } from '../command/checkKeys.ts';
import type {
  ChangePasswordRequest,
  CreateAccessTokenRequest,
  CreateUserRequest,
  DeletePolicyRequest,
  ExplainPolicyRequest,
  LoginRequest,
  PutPolicyRequest,
  RevokeAccessTokenRequest,
  SetPasswordRequest,
} from '../proto/access.ts';
import type { SetUserRoles } from '../proto/users.ts';
import type { AccessPort, UserPort } from './ports.ts';
import { refuse } from './refuse.ts';
import { type HandlerContext, unary } from './unary.ts';

/** What a request has no say in. */
const NOT_GIVEN = { id: '0'.repeat(16), secretHash: Buffer.alloc(32) };

export function accessMethods(context: HandlerContext, port: AccessPort): UntypedServiceImplementation {
  return {
    ...userMethods(context, port.users),
    whoAmI: unary(context, (caller) => port.whoAmI(caller)),
    putPolicy: unary(context, async (caller, { policy }: PutPolicyRequest) => {
      if (!policy) throw invalid('policy', 'is missing');
      refuse(checkPolicy(policy));
      await port.putPolicy(caller, policy);
      return {};
    }),
    deletePolicy: unary(context, async (caller, { role }: DeletePolicyRequest) => {
      refuse(checkRole(role, 'role'));
      await port.deletePolicy(caller, { role });
      return {};
    }),
    policyList: unary(context, (caller) => port.policyList(caller)),
    explainPolicy: unary(context, async (caller, request: ExplainPolicyRequest) => {
      refuse(checkWho(request.who));
      if (!request.action.startsWith('admin:')) refuse(checkKey(request.key));
      return port.explainPolicy(caller, request);
    }),
    createAccessToken: unary(context, async (caller, request: CreateAccessTokenRequest) => {
      refuse(checkCreateAccessToken({ ...request, ...NOT_GIVEN }));
      return port.createAccessToken(caller, request);
    }),
    accessTokenList: unary(context, (caller) => port.accessTokenList(caller)),
    revokeAccessToken: unary(context, async (caller, { id }: RevokeAccessTokenRequest) => {
      refuse(checkAccessTokenId(id));
      await port.revokeAccessToken(caller, { id });
      return {};
    }),
  };
}

function userMethods(context: HandlerContext, port: UserPort): UntypedServiceImplementation {
  return {
    // What is wrong with a name is not told: it would say which there cannot be.
    login: unary(context, (caller, request: LoginRequest) => port.login(caller, request)),
    logout: unary(context, async (caller) => {
      await port.logout(caller);
      return {};
    }),
    changePassword: unary(context, async (caller, request: ChangePasswordRequest) => {
      await port.changePassword(caller, request);
      return {};
    }),
    createUser: unary(context, async (caller, request: CreateUserRequest) => {
      refuse(checkUserName(request.name) ?? checkRoles(request.roles));
      await port.createUser(caller, request);
      return {};
    }),
    deleteUser: unary(context, async (caller, { name }: { readonly name: string }) => {
      refuse(checkUserName(name));
      await port.deleteUser(caller, { name });
      return {};
    }),
    setPassword: unary(context, async (caller, request: SetPasswordRequest) => {
      refuse(checkUserName(request.name));
      await port.setPassword(caller, request);
      return {};
    }),
    setUserRoles: unary(context, async (caller, { name, roles }: SetUserRoles) => {
      refuse(checkUserName(name) ?? checkRoles(roles));
      await port.setUserRoles(caller, { name, roles });
      return {};
    }),
    userList: unary(context, (caller) => port.userList(caller)),
  };
}
