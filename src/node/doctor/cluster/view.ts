import type { HoldfastError } from '../../../base/errors.ts';
import type { MemberStatus, StatusResponse } from '../../../proto/cluster.ts';

/** What the nodes say of themselves and of each other, each node once. */
export interface ClusterView {
  readonly answered: readonly StatusResponse[];
  readonly silent: readonly SilentEndpoint[];
  /** As the leader has them, or else whoever has applied most. */
  readonly members: readonly MemberStatus[];
  /** What the leader says, when it answers. */
  readonly leader: StatusResponse | null;
}

export interface SilentEndpoint {
  readonly endpoint: string;
  readonly error: HoldfastError;
}

/** What was heard at one address. */
export type Heard = { readonly endpoint: string; readonly status: StatusResponse } | SilentEndpoint;

export function clusterView(reports: readonly Heard[]): ClusterView {
  const answered = new Map<string, StatusResponse>();
  const silent: SilentEndpoint[] = [];
  for (const report of reports) {
    if ('error' in report) silent.push(report);
    else answered.set(report.status.nodeId, report.status);
  }
  const statuses = [...answered.values()];
  const leader =
    statuses
      .filter(({ role }) => role === 'leader')
      .toSorted((left, right) => right.term - left.term)
      .at(0) ?? null;
  const newest = statuses.toSorted((left, right) => right.appliedIndex - left.appliedIndex).at(0);
  return { answered: statuses, silent, members: (leader ?? newest)?.members ?? [], leader };
}

/** Those that are kept out by the leader, or, while none answers, by anyone. A member that is fenced fences the others too. */
export function fencedIds({ answered, leader }: ClusterView): ReadonlySet<string> {
  const views = leader === null ? answered : [leader];
  return new Set(views.flatMap(({ fenced = [] }) => fenced.map(({ nodeId }) => nodeId)));
}

/** Whether a member takes part, as the leader says, or, while none answers, whether it answers itself. */
export function takesPart({ answered, leader }: ClusterView, member: MemberStatus): boolean {
  if (leader !== null) return member.reachable && member.suspect !== true;
  if (answered.some((status) => status.leader === member.nodeId)) return true;
  return answered.some(({ nodeId, log }) => nodeId === member.nodeId && log?.suspect !== true);
}

/** Names with commas between. */
export function namesOf(named: readonly { readonly name: string }[]): string {
  return named.map(({ name }) => name).join(', ');
}
