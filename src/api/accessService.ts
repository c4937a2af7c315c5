/** The methods of holdfast.v1.Access, all unary. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import {
  checkAccessTokenId,
  checkCreateAccessToken,
  checkPolicy,
  checkRole,
} from '../command/checkAccess.ts';
import { checkKey, invalid } from '../command/checkKeys.ts';
import type {
  CreateAccessTokenRequest,
  DeletePolicyRequest,
  ExplainPolicyRequest,
  PutPolicyRequest,
  RevokeAccessTokenRequest,
} from '../proto/access.ts';
import type { AccessPort } from './ports.ts';
import { refuse } from './refuse.ts';
import { type HandlerContext, unary } from './unary.ts';

/** What a request has no say in. */
const NOT_GIVEN = { id: '0'.repeat(16), secretHash: Buffer.alloc(32) };

export function accessMethods(context: HandlerContext, port: AccessPort): UntypedServiceImplementation {
  return {
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
      refuse(checkRole(request.who, 'who'));
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
