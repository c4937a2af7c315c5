/**
 * The shapes of proto/holdfast/storage/v1. An unset message field is null after decoding and may be left out
 * before encoding; every other field is always there after decoding.
 */
import type {
  AlertSettings,
  AuditCheckpoint,
  AuditRecord,
  NoteAlerts,
  SetAuditSettings,
  ValueRead,
  ValueReadOutcome,
} from './audit.ts';
import { codec } from './registry.ts';
import type {
  CreateAccessToken,
  CreateUser,
  Login,
  NoteTokenUse,
  ResetAdmin,
  SetPassword,
  SetUserRoles,
} from './users.ts';

type Unset = null | undefined;

export interface LogPayload {
  readonly groups: readonly SealedGroup[];
  readonly keyring: Uint8Array;
  readonly keyringStep?: KeyringStep | Unset;
}

export interface KeyringStep {
  readonly changeId: string;
  /** `activate` or `retire`. */
  readonly step: string;
}

export interface SealedGroup {
  readonly scope: string;
  readonly envelope: Uint8Array;
}

export interface CommandBatch {
  readonly timeMs: number;
  readonly commands: readonly Command[];
}

export interface Principal {
  readonly kind: string;
  readonly name: string;
  readonly address: string;
  /** Of a user: of the password that he has logged in with. */
  readonly generation?: number;
  /** Of a user: the id of his session. */
  readonly session?: string;
}

export interface RequestId {
  readonly clientId: number;
  readonly number: number;
  readonly floor: number;
}

/** Exactly one of the fields after `request` is set: see `commandBody` in command/. */
export interface Command {
  readonly origin: string;
  readonly sequence: number;
  readonly principal: Principal | Unset;
  readonly request?: RequestId | Unset;
  readonly transaction?: Transaction | Unset;
  readonly registerClient?: object | Unset;
  readonly closeClient?: { readonly clientId: number } | Unset;
  readonly compact?: { readonly revision: number } | Unset;
  readonly bootstrap?: Bootstrap | Unset;
  readonly createToken?: CreateToken | Unset;
  readonly useToken?: UseToken | Unset;
  readonly advanceTime?: object | Unset;
  readonly revokeToken?: { readonly id: string } | Unset;
  readonly beginKeyChange?: BeginKeyChange | Unset;
  readonly confirmKeyChange?: ConfirmKeyChange | Unset;
  readonly abortKeyChange?: { readonly id: string } | Unset;
  readonly noteKeyChange?: NoteKeyChange | Unset;
  readonly rotateAuthority?: RotateAuthority | Unset;
  readonly switchAuthority?: RotationStep | Unset;
  readonly finishAuthorityRotation?: RotationStep | Unset;
  readonly putPolicy?: { readonly policy: Policy | Unset } | Unset;
  readonly deletePolicy?: { readonly role: string } | Unset;
  readonly createAccessToken?: CreateAccessToken | Unset;
  readonly revokeAccessToken?: { readonly id: string } | Unset;
  readonly readValues?: { readonly reads: readonly ValueRead[] } | Unset;
  readonly noteAudit?: { readonly records: readonly AuditRecord[] } | Unset;
  readonly setAuditSettings?: SetAuditSettings | Unset;
  readonly checkpointAudit?: { readonly checkpoint: AuditCheckpoint | Unset } | Unset;
  readonly setAlerts?: { readonly settings: AlertSettings | Unset } | Unset;
  readonly noteAlerts?: NoteAlerts | Unset;
  readonly noteTokenUse?: NoteTokenUse | Unset;
  readonly createUser?: CreateUser | Unset;
  readonly deleteUser?: { readonly name: string } | Unset;
  readonly setPassword?: SetPassword | Unset;
  readonly setUserRoles?: SetUserRoles | Unset;
  readonly login?: Login | Unset;
  readonly endSession?: object | Unset;
  readonly resetAdmin?: ResetAdmin | Unset;
}

/** What a role may do. */
export interface Policy {
  readonly role: string;
  readonly rules: readonly PolicyRule[];
  /** What it administers. */
  readonly admin: readonly string[];
}

export interface PolicyRule {
  readonly path: string;
  readonly capabilities: readonly string[];
}

export interface BeginKeyChange {
  readonly id: string;
  readonly kind: string;
  readonly encryption: string;
  readonly source: string;
}

export interface ConfirmKeyChange {
  readonly id: string;
  readonly newFingerprint: string;
}

export interface NoteKeyChange {
  readonly id: string;
  readonly note: string;
  readonly newFingerprint: string;
  readonly previousFingerprint: string;
  readonly nodeId: string;
  readonly rewritten: number;
  readonly remaining: number;
}

export interface KeyRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

export interface Transaction {
  readonly compares: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export const RELATION = { EQUAL: 0, NOT_EQUAL: 1, GREATER: 2, LESS: 3 } as const;
export const COMPARE_TARGET = { VALUE: 0, VERSION: 1, CREATE_REVISION: 2, MOD_REVISION: 3 } as const;

export interface Compare {
  readonly key: Uint8Array;
  /** One of RELATION. */
  readonly relation: number;
  /** One of COMPARE_TARGET. */
  readonly target: number;
  readonly value: Uint8Array;
  readonly number: number;
}

export interface Operation {
  readonly put?: PutOperation | Unset;
  readonly delete?: DeleteOperation | Unset;
  readonly range?: RangeOperation | Unset;
}

export interface PutOperation {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly previous: boolean;
}

export interface DeleteOperation {
  readonly range: KeyRange | Unset;
  readonly previous: boolean;
}

export interface RangeOperation {
  readonly range: KeyRange | Unset;
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
}

export interface Bootstrap {
  readonly authorityCertificate: Uint8Array;
  readonly authorityPrivateKey: Uint8Array;
  readonly member: Member | Unset;
}

export interface Member {
  readonly nodeId: string;
  readonly name: string;
  readonly peerAddress: string;
  readonly apiAddress: string;
  /** "voter" or "learner". */
  readonly wantedRole: string;
}

export interface CreateToken {
  readonly id: string;
  readonly secretHash: Uint8Array;
  readonly role: string;
  readonly ttlMs: number;
}

export interface UseToken {
  readonly id: string;
  readonly secretHash: Uint8Array;
  readonly nodeId: string;
  readonly csrKeyHash: Uint8Array;
}

export interface RotateAuthority {
  /** DER. */
  readonly certificate: Uint8Array;
  /** PKCS #8. */
  readonly privateKey: Uint8Array;
}

export interface RotationStep {
  /** SHA-256 of the certificate of the CA that is to sign, or to be dropped. */
  readonly certificateHash: Uint8Array;
  readonly confirmed: readonly string[];
}

/** One kind. */
export interface Outcome {
  readonly transaction?: TransactionOutcome | Unset;
  readonly client?: { readonly clientId: number } | Unset;
  readonly failure?: Failure | Unset;
  readonly token?: { readonly role: string } | Unset;
  readonly done?: object | Unset;
  readonly read?: { readonly reads: readonly ValueReadOutcome[] } | Unset;
  readonly replayed: boolean;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly field: string;
  readonly hint: string;
}

export interface TransactionOutcome {
  readonly revision: number;
  readonly succeeded: boolean;
  readonly operations: readonly OperationOutcome[];
}

export interface OperationOutcome {
  readonly put?: { readonly previous?: KeyValue | Unset } | Unset;
  readonly delete?: { readonly deleted: number; readonly previous: readonly KeyValue[] } | Unset;
  readonly range?: RangeOutcome | Unset;
}

export interface RangeOutcome {
  readonly items: readonly KeyValue[];
  readonly count: number;
  readonly more: boolean;
}

export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

export interface ConfigurationContext {
  readonly member?: Member | Unset;
  readonly timeMs: number;
}

export interface RecordRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly version: number;
  readonly deleted: boolean;
  readonly timeMs: number;
}

export interface ClientRow {
  readonly clientId: number;
  readonly timeMs: number;
  readonly principal: Principal | Unset;
}

export interface AnswersRow {
  readonly timeMs: number;
  readonly answers: readonly StoredAnswer[];
}

export interface StoredAnswer {
  readonly clientId: number;
  readonly number: number;
  readonly floor: number;
  readonly bodyHash: Uint8Array;
  readonly outcome: Outcome | Unset;
}

/** The change of keys that is under way, or was the last one. */
export interface KeyChangeRow {
  readonly id: string;
  readonly kind: string;
  readonly phase: string;
  readonly encryption: string;
  readonly newFingerprint: string;
  readonly source: string;
  readonly confirmed: boolean;
  readonly members: readonly KeyChangeMember[];
  readonly startedMs: number;
  readonly endedMs: number;
  readonly previousFingerprint: string;
  /** Of earlier changes. */
  readonly replacedFingerprints: readonly string[];
}

export interface KeyChangeMember {
  readonly nodeId: string;
  readonly proved: boolean;
  readonly counted: boolean;
  readonly rewritten: number;
  readonly remaining: number;
}

export interface TokenRow {
  readonly id: string;
  readonly secretHash: Uint8Array;
  readonly role: string;
  readonly expiresMs: number;
  /** Empty until the token is used. */
  readonly nodeId: string;
  readonly csrKeyHash: Uint8Array;
  /** Log time. */
  readonly createdMs: number;
}

export interface AuthorityRow {
  /** DER. */
  readonly certificate: Uint8Array;
  /** PKCS #8. */
  readonly privateKey: Uint8Array;
  readonly rotation?: AuthorityRotation | Unset;
}

/** The CA that is trusted beside the one that signs. */
export interface AuthorityRotation {
  /** DER. */
  readonly certificate: Uint8Array;
  /** PKCS #8 of the next one; empty: it is the former one. */
  readonly privateKey: Uint8Array;
}

export interface StoredConfiguration {
  readonly voters: readonly string[];
  readonly votersOutgoing: readonly string[];
  readonly learners: readonly string[];
  readonly learnersNext: readonly string[];
  readonly autoLeave: boolean;
}

export interface HeadRow {
  readonly index: number;
  readonly term: number;
  readonly hash: Uint8Array;
  readonly revision: number;
  readonly compactedRevision: number;
  readonly timeMs: number;
  readonly digest: Uint8Array;
  readonly configuration: StoredConfiguration | Unset;
  /** Of the last audit record; 0 and empty: there is none. */
  readonly auditSequence: number;
  readonly auditHash: Uint8Array;
}

const PACKAGE = 'holdfast.storage.v1';

export const logPayloadCodec = codec<LogPayload>(`${PACKAGE}.LogPayload`);
export const commandBatchCodec = codec<CommandBatch>(`${PACKAGE}.CommandBatch`);
export const commandCodec = codec<Command>(`${PACKAGE}.Command`);
export const outcomeCodec = codec<Outcome>(`${PACKAGE}.Outcome`);
export const configurationContextCodec = codec<ConfigurationContext>(`${PACKAGE}.ConfigurationContext`);
export const recordRowCodec = codec<RecordRow>(`${PACKAGE}.RecordRow`);
export const clientRowCodec = codec<ClientRow>(`${PACKAGE}.ClientRow`);
export const answersRowCodec = codec<AnswersRow>(`${PACKAGE}.AnswersRow`);
export const tokenRowCodec = codec<TokenRow>(`${PACKAGE}.TokenRow`);
export const keyChangeRowCodec = codec<KeyChangeRow>(`${PACKAGE}.KeyChangeRow`);
export const memberRowCodec = codec<{ readonly member: Member | Unset }>(`${PACKAGE}.MemberRow`);
export const removedRowCodec = codec<{ readonly nodeId: string }>(`${PACKAGE}.RemovedRow`);
export const authorityRowCodec = codec<AuthorityRow>(`${PACKAGE}.AuthorityRow`);
export const headRowCodec = codec<HeadRow>(`${PACKAGE}.HeadRow`);
export const seedMembersCodec = codec<{ readonly members: readonly Member[] }>(`${PACKAGE}.SeedMembers`);
