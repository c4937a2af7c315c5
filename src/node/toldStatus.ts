import type { Area } from '../access/policy/policy.ts';
import type { MemberStatus, StatusResponse } from '../proto/cluster.ts';

/** What a node knows, before it is judged who is told what of it. */
export interface WholeStatus {
  readonly status: Omit<StatusResponse, 'withheld'>;
  /** Of the audit sink and the alerts. */
  readonly auditWarnings: readonly string[];
}

type Administers = (area: Area) => boolean;

const AUDIT_WARNING =
  'something is wrong with the audit sink or the alerts of this node: whoever administers the audit is told what';

/**
 * The part of a status that the asker is told. Everybody: which node this is and of which release, who leads, where the members are,
 * and how far this node is. Who administers the cluster, the keys or the audit: that too.
 */
export function toldStatus({ status, auditWarnings }: WholeStatus, administers: Administers): StatusResponse {
  const cluster = administers('cluster');
  const keys = cluster || administers('keys');
  const audit = administers('audit');
  const told = { cluster, keys, audit };
  const withheld = (['cluster', 'keys', 'audit'] as const).filter((part) => !told[part]);
  const hinted = cluster && auditWarnings.length > 0 ? [AUDIT_WARNING] : [];
  const warnings = [...(cluster ? status.warnings : []), ...(audit ? auditWarnings : hinted)];
  return {
    ...status,
    ...(cluster ? {} : WITHOUT_CLUSTER),
    ...(keys ? {} : WITHOUT_KEYS),
    ...(audit ? {} : { auditSink: null }),
    members: toldMembers(status.members, administers),
    warnings,
    withheld,
  };
}

/** Where the members listen for each other is for who administers the cluster, and so is how much each of them has. */
export function toldMembers(
  members: readonly MemberStatus[],
  administers: Administers,
): readonly MemberStatus[] {
  if (administers('cluster')) return members;
  return members.map((member) => ({ ...member, peerAddress: '', matchIndex: 0 }));
}

const WITHOUT_CLUSTER = {
  digest: '',
  logTimeMs: 0,
  wallTimeMs: 0,
  keys: 0,
  watches: 0,
  uptimeMs: 0,
  disk: null,
  scrub: null,
  log: null,
  fenced: [],
} as const;

const WITHOUT_KEYS = {
  encryption: '',
  controlKeyFingerprint: '',
  jwtSecretFingerprint: '',
  keyChange: null,
} as const;
