/**
 * What each method of the API asks of its caller, before it runs. A method without a rule is refused to everybody, and a test
 * holds this against the .proto files.
 */
import type { Area } from '../access/policy/policy.ts';

/**
 * `stranger`: whoever reaches the port. `anyone`: whoever is somebody. `names`: the node decides by the names that the request touches. `certificate`: only a client
 * with a certificate of its own. Else: what the caller has to administer.
 */
export type RpcRule = 'stranger' | 'anyone' | 'names' | 'certificate' | Area;

const KV: Readonly<Record<string, RpcRule>> = {
  Put: 'names',
  Get: 'names',
  Delete: 'names',
  Range: 'names',
  Txn: 'names',
  History: 'names',
  Watch: 'names',
  Session: 'names',
  Compact: 'cluster',
  RegisterClient: 'anyone',
  CloseClient: 'anyone',
};

const CLUSTER: Readonly<Record<string, RpcRule>> = {
  Status: 'anyone',
  MemberList: 'anyone',
  AddToken: 'cluster',
  TokenList: 'cluster',
  RevokeToken: 'cluster',
  PromoteMember: 'cluster',
  DemoteMember: 'cluster',
  RemoveMember: 'cluster',
  TransferLeadership: 'cluster',
  BeginKeyChange: 'keys',
  ConfirmKeyChange: 'keys',
  AbortKeyChange: 'keys',
  RotateAuthority: 'keys',
  FinishAuthorityRotation: 'keys',
  GetAuthorityStatus: 'keys',
  RenewClient: 'certificate',
};

const ACCESS: Readonly<Record<string, RpcRule>> = {
  WhoAmI: 'anyone',
  PutPolicy: 'access',
  DeletePolicy: 'access',
  PolicyList: 'access',
  ExplainPolicy: 'access',
  CreateAccessToken: 'access',
  AccessTokenList: 'access',
  RevokeAccessToken: 'access',
  Login: 'stranger',
  Logout: 'anyone',
  ChangePassword: 'anyone',
  CreateUser: 'access',
  DeleteUser: 'access',
  SetPassword: 'access',
  SetUserRoles: 'access',
  UserList: 'access',
};

const AUDIT: Readonly<Record<string, RpcRule>> = {
  List: 'audit',
  Head: 'audit',
  GetSettings: 'audit',
  SetSettings: 'audit-settings',
  GetAlerts: 'audit',
  SetAlerts: 'audit-settings',
};

/** By path, as gRPC names a method. */
export const RPC_RULES: ReadonlyMap<string, RpcRule> = new Map(
  Object.entries({
    'holdfast.v1.Kv': KV,
    'holdfast.v1.Cluster': CLUSTER,
    'holdfast.v1.Access': ACCESS,
    'holdfast.v1.Audit': AUDIT,
  }).flatMap(([service, rules]) =>
    Object.entries(rules).map(([method, rule]) => [`/${service}/${method}`, rule] as const),
  ),
);
