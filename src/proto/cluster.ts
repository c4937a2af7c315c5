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

export interface MemberRequest {
  readonly member: string;
}

export interface RemoveMemberRequest extends MemberRequest {
  readonly force: boolean;
}

export const clusterService = serviceDefinition('holdfast.v1.Cluster');
