/** The methods of holdfast.v1.Cluster, all unary. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type {
  AddTokenRequest,
  BeginKeyChangeRequest,
  ConfirmKeyChangeRequest,
  MemberRequest,
  RemoveMemberRequest,
  RenewClientRequest,
} from '../proto/cluster.ts';
import type { Caller, ClusterPort } from './ports.ts';
import { refuse } from './refuse.ts';
import { type HandlerContext, unary } from './unary.ts';

export function clusterMethods(context: HandlerContext, port: ClusterPort): UntypedServiceImplementation {
  const onMember = (work: (caller: Caller, request: MemberRequest) => Promise<void>) =>
    unary(context, async (caller, request: MemberRequest) => {
      refuse(checkName(request.member, 'member'));
      await work(caller, request);
      return {};
    });
  return {
    status: unary(context, (caller) => port.status(caller)),
    memberList: unary(context, (caller) => port.memberList(caller)),
    addToken: unary(context, async (caller, request: AddTokenRequest) => {
      refuse(checkToken(request));
      return port.addToken(caller, request);
    }),
    tokenList: unary(context, (caller) => port.tokenList(caller)),
    revokeToken: unary(context, async (caller, request: { readonly id: string }) => {
      refuse(checkName(request.id, 'id'));
      await port.revokeToken(caller, request);
      return {};
    }),
    promoteMember: onMember((caller, request) => port.promoteMember(caller, request)),
    demoteMember: onMember((caller, request) => port.demoteMember(caller, request)),
    removeMember: unary(context, async (caller, request: RemoveMemberRequest) => {
      refuse(checkName(request.member, 'member'));
      await port.removeMember(caller, request);
      return {};
    }),
    beginKeyChange: unary(context, (caller, request: BeginKeyChangeRequest) =>
      port.beginKeyChange(caller, request),
    ),
    confirmKeyChange: unary(context, async (caller, request: ConfirmKeyChangeRequest) => {
      await port.confirmKeyChange(caller, request);
      return {};
    }),
    abortKeyChange: unary(context, async (caller, request: { readonly id: string }) => {
      await port.abortKeyChange(caller, request);
      return {};
    }),
    transferLeadership: onMember((caller, request) => port.transferLeadership(caller, request)),
    rotateAuthority: unary(context, (caller) => port.rotateAuthority(caller)),
    finishAuthorityRotation: unary(context, (caller) => port.finishAuthorityRotation(caller)),
    getAuthorityStatus: unary(context, (caller) => port.authorityStatus(caller)),
    renewClient: unary(context, (caller, { csr }: RenewClientRequest, shown) =>
      port.renewClient(caller, { csr, shown: shown() }),
    ),
  };
}

function checkName(name: string, field: string): HoldfastError | null {
  if (name.length > 0 && name.length <= LIMITS.nameBytesMax) return null;
  return new HoldfastError('INVALID_ARGUMENT', `${field} must have 1 to ${LIMITS.nameBytesMax} characters`, {
    field,
  });
}

function checkToken(request: AddTokenRequest): HoldfastError | null {
  if (!['', 'voter', 'learner'].includes(request.role)) {
    return new HoldfastError('INVALID_ARGUMENT', 'role must be voter or learner', { field: 'role' });
  }
  if (request.ttlMs > LIMITS.joinTokenTtlMsMax) {
    return new HoldfastError('INVALID_ARGUMENT', 'a join token is good for 7 days at most', {
      field: 'ttl_ms',
      hint: 'make it shorter, and another one when it is needed',
    });
  }
  return null;
}
