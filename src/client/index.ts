/** holdfast/client: what applications import. */

export { authorityFingerprint } from '../base/authorityFingerprint.ts';
export { type ErrorCode, HoldfastError } from '../base/errors.ts';
export type {
  AccessTokenListResponse,
  AccessTokenStatus,
  CreateAccessTokenResponse,
  ExplainPolicyResponse,
  LoginResponse,
  PolicyListResponse,
  UserListResponse,
  UserStatus,
  WhoAmIResponse,
} from '../proto/access.ts';
export type { AlertRule, AlertSettings, AuditSettings } from '../proto/audit.ts';
export type { AuditEntry, AuditHeadResponse } from '../proto/auditService.ts';
export type {
  AddTokenResponse,
  AuthorityStatus,
  FencedMember,
  JoinTokenStatus,
  KeyChangeStatus,
  MemberListResponse,
  MemberStatus,
  RenewClientResponse,
  StatusResponse,
  TokenListResponse,
} from '../proto/cluster.ts';
export type { Policy, PolicyRule } from '../proto/storage.ts';
export type { AccessClient } from './accessClient.ts';
export type { AuditClient, AuditListOptions } from './auditClient.ts';
export { certificateRequest } from './certificateRequest.ts';
export {
  type ConnectOptions,
  connect,
  type HistoryVersion,
  HoldfastClient,
  type RangeOptions,
  type RangePage,
  type ReadOptions,
  type Transaction,
  type TransactionResult,
  type WriteOptions,
} from './client.ts';
export type { CallOptions, ClusterClient, NodeReport } from './clusterClient.ts';
export type { ClientIdentity } from './connection.ts';
export type { Bytes, Item, KeySelector } from './keys.ts';
export { presentedAuthority } from './presentedAuthority.ts';
export { compare, del, get, type OperationResult, put, range } from './transaction.ts';
export type { Watch, WatchBatch, WatchEvent, WatchOptions } from './watch.ts';
