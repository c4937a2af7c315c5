/** The shapes of proto/holdfast/storage/v1 that are about users and access tokens. */
import { codec } from './registry.ts';
import type { Policy, Principal } from './storage.ts';

type Unset = null | undefined;

export interface CreateUser {
  readonly name: string;
  /** A PHC string. */
  readonly passwordHash: string;
  readonly roles: readonly string[];
}

export interface SetPassword {
  readonly name: string;
  readonly passwordHash: string;
  /** Of the password that the user has shown to change his own; 0: somebody else sets it. */
  readonly shownGeneration: number;
}

export interface SetUserRoles {
  readonly name: string;
  readonly roles: readonly string[];
}

export interface Login {
  /** The same password at a higher cost; empty: it stays as it is. */
  readonly passwordHash: string;
}

export interface ResetAdmin {
  readonly id: string;
  readonly passwordHash: string;
}

export interface UserRow {
  readonly name: string;
  /** A PHC string. */
  readonly passwordHash: string;
  readonly roles: readonly string[];
  /** Log time. */
  readonly createdMs: number;
  /** Log time. */
  readonly changedMs: number;
  /** Log index at which the password was set. */
  readonly generation: number;
  readonly createdBy: Principal | Unset;
  readonly ended: readonly EndedSession[];
}

export interface AdminResetsRow {
  /** The latest last. */
  readonly ids: readonly string[];
}

export interface EndedSession {
  readonly id: string;
  /** Log time. */
  readonly untilMs: number;
}

export interface AccessTokenRow {
  readonly id: string;
  /** SHA-256, 32 bytes. */
  readonly secretHash: Uint8Array;
  readonly description: string;
  readonly roles: readonly string[];
  /** Log time. */
  readonly createdMs: number;
  /** Log time; 0: it does not expire. */
  readonly expiresMs: number;
  readonly createdBy: Principal | Unset;
  /** Log time of a late use, not of each; 0: none. */
  readonly lastUsedMs: number;
  /** Hosts from which it was used, the one of the latest noted use last. */
  readonly addresses: readonly string[];
}

const PACKAGE = 'holdfast.storage.v1';

export const accessTokenRowCodec = codec<AccessTokenRow>(`${PACKAGE}.AccessTokenRow`);
export const resetAdminCodec = codec<ResetAdmin>(`${PACKAGE}.ResetAdmin`);
export const adminResetsRowCodec = codec<AdminResetsRow>(`${PACKAGE}.AdminResetsRow`);
export const userRowCodec = codec<UserRow>(`${PACKAGE}.UserRow`);

/** A node has seen an access token used, from host:port. */
export interface NoteTokenUse {
  readonly id: string;
  readonly address: string;
}

export interface CreateAccessToken {
  readonly id: string;
  /** SHA-256, 32 bytes. */
  readonly secretHash: Uint8Array;
  readonly description: string;
  readonly roles: readonly string[];
  /** 0: until it is revoked. */
  readonly ttlMs: number;
}

export interface PolicyRow {
  readonly policy: Policy | Unset;
  /** Log time. */
  readonly changedMs: number;
}

export const policyRowCodec = codec<PolicyRow>('holdfast.storage.v1.PolicyRow');
