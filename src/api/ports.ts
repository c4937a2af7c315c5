import type { Area } from '../access/policy/policy.ts';
import type { HoldfastError } from '../base/errors.ts';
import type {
  AccessTokenListResponse,
  ChangePasswordRequest,
  CreateAccessTokenRequest,
  CreateAccessTokenResponse,
  CreateUserRequest,
  ExplainPolicyRequest,
  ExplainPolicyResponse,
  LoginRequest,
  LoginResponse,
  PolicyListResponse,
  SetPasswordRequest,
  UserListResponse,
  WhoAmIResponse,
} from '../proto/access.ts';
import type { AlertSettings, SetAuditSettings } from '../proto/audit.ts';
import type {
  AuditHeadRequest,
  AuditHeadResponse,
  AuditListRequest,
  AuditListResponse,
  GetAlertsResponse,
  GetAuditSettingsResponse,
} from '../proto/auditService.ts';
import type {
  AddTokenRequest,
  AddTokenResponse,
  AuthorityStatus,
  BeginKeyChangeRequest,
  BeginKeyChangeResponse,
  ConfirmKeyChangeRequest,
  MemberListResponse,
  RemoveMemberRequest,
  RenewClientRequest,
  RenewClientResponse,
  StatusResponse,
  TokenListResponse,
} from '../proto/cluster.ts';
import type {
  GetRequest,
  GetResponse,
  HistoryRequest,
  HistoryResponse,
  RangeRequest,
  RangeResponse,
  WatchCreate,
  WatchEvent,
} from '../proto/kv.ts';
import type { Outcome, Policy, Principal, RequestId, Transaction } from '../proto/storage.ts';
import type { SetUserRoles } from '../proto/users.ts';

/** Who asks, and until when an answer is of use. */
export interface Caller {
  readonly principal: Principal;
  /** On the monotonic clock, milliseconds. */
  readonly deadlineMs: number;
  /** When his session ends, on the wall clock. Absent: he shows none. */
  readonly sessionEndMs?: number;
  /** Whether what the session is signed by is in force still. */
  readonly isInForce?: () => boolean;
  /**
   * To be awaited just before something of up to `bytesMax` bytes is read for this caller: resolves when what was
   * read for it before has gone out far enough, and never when it has gone away. Absent: no bound of its own.
   */
  readonly room?: (bytesMax: number) => Promise<void>;
}

/** What the API asks of the node behind it. Every method rejects only with a HoldfastError. */
export interface KvPort {
  /** A write, or a transaction: decided at its place in the log. `request` null: not protected against a second application. */
  transact(
    caller: Caller,
    command: { request: RequestId | null; transaction: Transaction },
  ): Promise<Outcome>;
  registerClient(caller: Caller): Promise<{ readonly clientId: number }>;
  closeClient(caller: Caller, request: { readonly clientId: number }): Promise<void>;
  /** Resolves with the compaction point in force. */
  compact(caller: Caller, request: { readonly revision: number }): Promise<{ readonly revision: number }>;
  get(caller: Caller, request: GetRequest): Promise<GetResponse>;
  range(caller: Caller, request: RangeRequest): Promise<RangeResponse>;
  history(caller: Caller, request: HistoryRequest): Promise<HistoryResponse>;
  /** Rejects with a HoldfastError when the watch cannot begin (COMPACTED, OVERLOADED, NO_LEADER, …). */
  watch(caller: Caller, request: WatchCreate, sink: WatchSink): Promise<WatchHandle>;
}

/** Where a watch delivers. One call is one or more whole revisions, in order. */
export interface WatchSink {
  /** While true nothing is delivered, as after a `deliver` that returned false. Absent: never. */
  readonly isFull?: () => boolean;
  /** Returns false when the receiver is full: nothing more comes until `resume` of the handle is called. */
  deliver(batch: { readonly revision: number; readonly events: readonly WatchEvent[] }): boolean;
  /** The last call: the watch is over. `resumeRevision` 0: it cannot be resumed. */
  cancelled(error: HoldfastError, resumeRevision: number): void;
}

export interface WatchHandle {
  /** The revision after which events are delivered. */
  readonly startedAfterRevision: number;
  resume(): void;
  close(): void;
}

/** Whom an access token or a session makes of its bearer. */
export interface Holder {
  readonly principal: Omit<Principal, 'address'>;
  /** When the session ends, on the wall clock; absent: it is none. */
  readonly sessionEndMs?: number;
  /** Whether what the session is signed by is in force still. */
  readonly isInForce?: () => boolean;
}

/** Users, and how they become somebody. Every method rejects only with a HoldfastError. */
export interface UserPort {
  /** The caller is nobody yet, but has an address. */
  login(caller: Caller, request: LoginRequest): Promise<LoginResponse>;
  logout(caller: Caller): Promise<void>;
  changePassword(caller: Caller, request: ChangePasswordRequest): Promise<void>;
  createUser(caller: Caller, request: CreateUserRequest): Promise<void>;
  deleteUser(caller: Caller, request: { readonly name: string }): Promise<void>;
  setPassword(caller: Caller, request: SetPasswordRequest): Promise<void>;
  setUserRoles(caller: Caller, request: SetUserRoles): Promise<void>;
  userList(caller: Caller): Promise<UserListResponse>;
}

/** Who was refused before the node was asked for anything, as it is recorded. */
export interface Refusal {
  /** Whether he has shown who he is. */
  readonly proved: boolean;
  /** Of who has not shown who he is: the address alone. */
  readonly principal: Principal;
  readonly code: 'UNAUTHENTICATED' | 'PERMISSION_DENIED';
  /** One short line that nobody outside can write: at most LIMITS.auditTextBytesMax, or the node could not record it. */
  readonly detail: string;
}

/** Who somebody is, and what he may do. Every method but `isKnown` and `refused` rejects only with a HoldfastError. */
export interface AccessPort {
  readonly users: UserPort;
  /** Who shows this: an access token or a session. UNAUTHENTICATED when it is none, or not good any more. */
  holderOf(token: string, shown: { readonly address: string; readonly deadlineMs: number }): Promise<Holder>;
  /** Whether this is still somebody. */
  isKnown(principal: Principal): boolean;
  /** For the audit; how many are recorded one by one is bounded. Never throws. */
  refused(refusal: Refusal): void;
  /** PERMISSION_DENIED unless he administers this. */
  requireArea(caller: Caller, area: Area): Promise<void>;
  whoAmI(caller: Caller): Promise<WhoAmIResponse>;
  putPolicy(caller: Caller, policy: Policy): Promise<void>;
  deletePolicy(caller: Caller, request: { readonly role: string }): Promise<void>;
  policyList(caller: Caller): Promise<PolicyListResponse>;
  explainPolicy(caller: Caller, request: ExplainPolicyRequest): Promise<ExplainPolicyResponse>;
  createAccessToken(caller: Caller, request: CreateAccessTokenRequest): Promise<CreateAccessTokenResponse>;
  accessTokenList(caller: Caller): Promise<AccessTokenListResponse>;
  revokeAccessToken(caller: Caller, request: { readonly id: string }): Promise<void>;
}

export interface ClusterPort {
  status(caller: Caller): Promise<StatusResponse>;
  memberList(caller: Caller): Promise<MemberListResponse>;
  addToken(caller: Caller, request: AddTokenRequest): Promise<AddTokenResponse>;
  tokenList(caller: Caller): Promise<TokenListResponse>;
  revokeToken(caller: Caller, request: { readonly id: string }): Promise<void>;
  promoteMember(caller: Caller, request: { readonly member: string }): Promise<void>;
  demoteMember(caller: Caller, request: { readonly member: string }): Promise<void>;
  removeMember(caller: Caller, request: RemoveMemberRequest): Promise<void>;
  beginKeyChange(caller: Caller, request: BeginKeyChangeRequest): Promise<BeginKeyChangeResponse>;
  confirmKeyChange(caller: Caller, request: ConfirmKeyChangeRequest): Promise<void>;
  abortKeyChange(caller: Caller, request: { readonly id: string }): Promise<void>;
  transferLeadership(caller: Caller, request: { readonly member: string }): Promise<void>;
  rotateAuthority(caller: Caller): Promise<AuthorityStatus>;
  finishAuthorityRotation(caller: Caller): Promise<AuthorityStatus>;
  authorityStatus(caller: Caller): Promise<AuthorityStatus>;
  /** `shown`: DER, what the caller has shown on its connection. */
  renewClient(
    caller: Caller,
    request: RenewClientRequest & { readonly shown: Uint8Array },
  ): Promise<RenewClientResponse>;
  /** host:port of the leader's API as far as this node knows, or null. */
  leaderApiAddress(): string | null;
}

/** The audit. Each asks for the area `audit`, which the rule of the method has seen to. */
export interface AuditPort {
  list(caller: Caller, request: AuditListRequest): Promise<AuditListResponse>;
  head(caller: Caller, request: AuditHeadRequest): Promise<AuditHeadResponse>;
  settings(caller: Caller): Promise<GetAuditSettingsResponse>;
  /** @throws HoldfastError INVALID_ARGUMENT also when they are not the ones that are expected */
  setSettings(caller: Caller, request: SetAuditSettings): Promise<void>;
  alerts(caller: Caller): Promise<GetAlertsResponse>;
  setAlerts(caller: Caller, settings: AlertSettings): Promise<void>;
}
