/** The shapes of proto/holdfast/v1/access.proto. */
import { serviceDefinition } from './registry.ts';
import type { Policy } from './storage.ts';

type Unset = null | undefined;

export interface WhoAmIResponse {
  /** `client`, `token` or `user`. */
  readonly kind: string;
  /** Of a token: its id. */
  readonly name: string;
  readonly address: string;
  readonly roles: readonly string[];
  /** 0: it does not expire. */
  readonly expiresMs: number;
}

export interface PutPolicyRequest {
  readonly policy: Policy | Unset;
}

export interface DeletePolicyRequest {
  readonly role: string;
}

export interface PolicyListResponse {
  readonly policies: readonly Policy[];
  /** How many of them, the first ones, every cluster has. */
  readonly builtIn: number;
}

export interface ExplainPolicyRequest {
  /** The id of an access token, the name of a role, or of a user: with `user:` before it, where a role has it too. */
  readonly who: string;
  /** A capability, or `admin:` and what is administered. */
  readonly action: string;
  readonly key: Uint8Array;
}

export interface ExplainPolicyResponse {
  readonly allowed: boolean;
  /** Empty: no pattern is for this name. */
  readonly pattern: string;
  readonly roles: readonly string[];
  readonly capabilities: readonly string[];
}

export interface CreateAccessTokenRequest {
  readonly description: string;
  readonly roles: readonly string[];
  /** 0: until it is revoked. */
  readonly ttlMs: number;
}

export interface CreateAccessTokenResponse {
  /** Shown this once. */
  readonly token: string;
  readonly id: string;
  /** 0: it does not expire. */
  readonly expiresMs: number;
}

export interface AccessTokenListResponse {
  readonly tokens: readonly AccessTokenStatus[];
}

export interface AccessTokenStatus {
  readonly id: string;
  readonly description: string;
  readonly roles: readonly string[];
  readonly createdMs: number;
  /** 0: it does not expire. */
  readonly expiresMs: number;
  readonly expired: boolean;
  /** Kind and name. */
  readonly createdBy: string;
  /** Log time of a late use, five minutes early at most; 0: none. */
  readonly lastUsedMs: number;
  /** Hosts from which it was used, the one of the latest noted use last. */
  readonly addresses: readonly string[];
}

export interface RevokeAccessTokenRequest {
  readonly id: string;
}

export interface LoginRequest {
  readonly name: string;
  readonly password: Uint8Array;
}

export interface LoginResponse {
  readonly token: string;
  readonly expiresMs: number;
}

export interface ChangePasswordRequest {
  readonly oldPassword: Uint8Array;
  readonly newPassword: Uint8Array;
}

export interface CreateUserRequest {
  readonly name: string;
  readonly password: Uint8Array;
  readonly roles: readonly string[];
}

export interface SetPasswordRequest {
  readonly name: string;
  readonly password: Uint8Array;
}

export interface UserListResponse {
  readonly users: readonly UserStatus[];
}

export interface UserStatus {
  readonly name: string;
  readonly roles: readonly string[];
  readonly createdMs: number;
  readonly changedMs: number;
  /** Kind and name. */
  readonly createdBy: string;
}

export const accessService = serviceDefinition('holdfast.v1.Access');
