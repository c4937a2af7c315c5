/** The shapes of proto/holdfast/v1/cluster.proto. */
import { serviceDefinition } from './registry.ts';

type Unset = null | undefined;

export interface StatusResponse {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly name: string;
  readonly version: string;
  readonly role: string;
  readonly term: number;
  readonly leader: string;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly durableIndex: number;
  readonly revision: number;
  readonly compactedRevision: number;
  readonly digest: string;
  readonly encryption: string;
  readonly controlKeyFingerprint: string;
  readonly logTimeMs: number;
  readonly wallTimeMs: number;
  readonly keys: number;
  readonly watches: number;
  readonly members: readonly MemberStatus[];
  readonly warnings: readonly string[];
  readonly uptimeMs: number;
  /** `sound`, `rebuilding` or `undecided`; empty from a node that does not tell. */
  readonly state?: string;
  readonly disk?: DiskStatus | Unset;
  readonly scrub?: ScrubStatus | Unset;
  readonly log?: LogStatus | Unset;
  /** Absent from a release that did not know it. */
  readonly fenced?: readonly FencedMember[];
  /** Absent or empty from a release that did not tell it. */
  readonly jwtSecretFingerprint?: string;
  readonly keyChange?: KeyChangeStatus | Unset;
  readonly auditSink?: AuditSinkStatus | Unset;
  /** Parts that the asker is not told: `cluster`, `keys`, `audit`. Absent from a release that told all of it to everybody. */
  readonly withheld?: readonly string[];
}

export interface AuditSinkStatus {
  /** `file`, `http` or `syslog`. */
  readonly kind: string;
  /** Empty for a file. */
  readonly host: string;
  readonly deliveredSequence: number;
  readonly behind: number;
  readonly lost: number;
  /** Milliseconds since 1970; 0: it works. */
  readonly failingSinceMs: number;
  /** Empty when it works. */
  readonly errorCode: string;
  readonly error: string;
}

export interface KeyChangeStatus {
  readonly id: string;
  readonly kind: string;
  readonly phase: string;
  readonly encryption: string;
  readonly newFingerprint: string;
  readonly previousFingerprint: string;
  readonly confirmed: boolean;
  readonly members: readonly KeyChangeProgress[];
  readonly startedMs: number;
  readonly endedMs: number;
  readonly problems: readonly KeyChangeProblem[];
}

export interface KeyChangeProblem {
  readonly nodeId: string;
  readonly name: string;
  readonly code: string;
  readonly reason: string;
  readonly hint: string;
}

export interface KeyChangeProgress {
  readonly nodeId: string;
  readonly name: string;
  readonly proved: boolean;
  readonly counted: boolean;
  readonly rewritten: number;
  readonly remaining: number;
}

export interface BeginKeyChangeRequest {
  readonly kind: string;
  readonly encryption: string;
  readonly source: string;
}

export interface BeginKeyChangeResponse {
  readonly id: string;
}

export interface ConfirmKeyChangeRequest {
  readonly id: string;
  readonly newFingerprint: string;
}

export interface FencedMember {
  readonly nodeId: string;
  /** Empty when the node that was asked does not know it yet. */
  readonly name: string;
  readonly code: string;
  readonly reason: string;
  readonly hint: string;
  readonly sinceMs: number;
}

export interface LogStatus {
  readonly lastIndex: number;
  /** Hex. */
  readonly lastHash: string;
  readonly suspect: boolean;
  /** 0 unless suspect. */
  readonly suspectUntil: number;
}

export interface DiskStatus {
  readonly reserveBytes: number;
  readonly freeBytes: number;
  readonly low: boolean;
}

export interface ScrubStatus {
  /** Milliseconds since 1970; 0: not yet. */
  readonly finishedMs: number;
  readonly durationMs: number;
  readonly rows: number;
  readonly logSegments: number;
  readonly bytes: number;
}

export interface MemberStatus {
  readonly nodeId: string;
  readonly name: string;
  readonly peerAddress: string;
  readonly apiAddress: string;
  readonly role: string;
  readonly leader: boolean;
  readonly matchIndex: number;
  readonly reachable: boolean;
  /** False from a node that does not tell. */
  readonly suspect?: boolean;
}

export interface MemberListResponse {
  readonly members: readonly MemberStatus[];
}

export interface AddTokenRequest {
  readonly role: string;
  readonly ttlMs: number;
}

export interface AddTokenResponse {
  readonly token: string;
  readonly expiresMs: number;
}

export interface TokenListResponse {
  readonly tokens: readonly JoinTokenStatus[];
}

export interface JoinTokenStatus {
  readonly id: string;
  readonly role: string;
  /** Milliseconds since 1970; 0: not known. */
  readonly createdMs: number;
  readonly expiresMs: number;
  readonly expired: boolean;
  /** Node id; empty while nobody has used it. */
  readonly usedBy: string;
  /** Empty when that node is no member. */
  readonly usedByName: string;
}

export interface MemberRequest {
  readonly member: string;
}

export interface RemoveMemberRequest extends MemberRequest {
  readonly force: boolean;
}

export interface AuthorityStatus {
  readonly phase: string;
  readonly signing: string;
  readonly other: string;
  readonly missing: readonly MissingMember[];
  readonly readyToFinish: boolean;
}

export interface MissingMember {
  readonly nodeId: string;
  readonly name: string;
}

export interface RenewClientRequest {
  readonly csr: Uint8Array;
}

export interface RenewClientResponse {
  /** DER. */
  readonly certificate: Uint8Array;
  /** DER. */
  readonly authorities: readonly Uint8Array[];
}

export const clusterService = serviceDefinition('holdfast.v1.Cluster');
