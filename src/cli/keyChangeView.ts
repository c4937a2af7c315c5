import { HoldfastError } from '../base/errors.ts';
import type { HoldfastClient, KeyChangeStatus, StatusResponse } from '../client/index.ts';
import { isWithheld } from './clusterFields.ts';
import type { Output } from './output.ts';
import { timeText } from './value.ts';

/** The change of keys as the leader knows it, or else whoever answers; null: there was none. @throws HoldfastError PERMISSION_DENIED */
export async function currentKeyChange(client: HoldfastClient): Promise<KeyChangeStatus | null> {
  const statuses = await statusesOf(client);
  const [any] = statuses;
  if (any === undefined) throw new HoldfastError('UNAVAILABLE', 'no node of the cluster answers');
  return (leaderOf(statuses) ?? any).keyChange ?? null;
}

/** For decisions: another node may not have heard of it yet. @throws HoldfastError UNAVAILABLE, PERMISSION_DENIED */
export async function leadersKeyChange(client: HoldfastClient): Promise<KeyChangeStatus | null> {
  const leader = leaderOf(await statusesOf(client));
  if (leader === undefined) {
    throw new HoldfastError('UNAVAILABLE', 'the leader does not answer', { hint: 'holdfast status' });
  }
  return leader.keyChange ?? null;
}

async function statusesOf(client: HoldfastClient): Promise<readonly StatusResponse[]> {
  const reports = await client.cluster.statusOfAll();
  const statuses = reports.flatMap((report) => ('status' in report ? [report.status] : []));
  if (!statuses.some((status) => isWithheld(status, 'keys'))) return statuses;
  throw new HoldfastError('PERMISSION_DENIED', 'no role allows to see changes of keys', {
    hint: 'that takes a role with admin: keys or cluster',
  });
}

const leaderOf = (statuses: readonly StatusResponse[]): StatusResponse | undefined =>
  statuses.filter(({ role }) => role === 'leader').toSorted((a, b) => b.term - a.term)[0];

export function isUnderWay({ phase }: KeyChangeStatus): boolean {
  return phase === 'preparing' || phase === 'rewriting';
}

/** `N re-wrapped, M still under legacy keys`; M is null until every member has counted. */
export function countsOf({ members }: KeyChangeStatus): { rewritten: number; remaining: number | null } {
  const rewritten = members.reduce((sum, member) => sum + member.rewritten, 0);
  const known = members.every(({ counted }) => counted);
  return { rewritten, remaining: known ? members.reduce((sum, member) => sum + member.remaining, 0) : null };
}

export function keyChangeFields(change: KeyChangeStatus): object {
  const { id, kind, phase, encryption, newFingerprint, previousFingerprint, confirmed, problems } = change;
  const members = change.members.map(({ nodeId, name, proved, counted, rewritten, remaining }) => {
    return { nodeId, name, proved, counted, rewritten, remaining };
  });
  return {
    id,
    kind,
    phase,
    encryption,
    newFingerprint,
    previousFingerprint,
    confirmed,
    started: timeText(change.startedMs),
    ended: change.endedMs === 0 ? null : timeText(change.endedMs),
    ...countsOf(change),
    members,
    problems: problems.map(({ nodeId, name, code, reason, hint }) => ({ nodeId, name, code, reason, hint })),
  };
}

interface Told {
  /** What every member holds anew, or null. */
  readonly secret: string | null;
  /** All that is stored is sealed anew. */
  readonly rewrites: boolean;
}

const TOLD: ReadonlyMap<string, Told> = new Map([
  ['rekey', { secret: 'new control key', rewrites: true }],
  ['rotate', { secret: null, rewrites: false }],
  ['rewrap', { secret: null, rewrites: true }],
  ['encryption', { secret: null, rewrites: true }],
  ['jwt', { secret: 'new JWT secret', rewrites: false }],
]);
/** Of a kind that this version does not know. */
const EVERYTHING: Told = { secret: 'new secret', rewrites: true };

export function showKeyChange(change: KeyChangeStatus, output: Output): void {
  const told = TOLD.get(change.kind) ?? EVERYTHING;
  if (output.format === 'table') for (const line of headlines(change, told)) output.line(line);
  const columns = memberColumns(told);
  if (output.format === 'json' || columns.length > 1) {
    output.table(keyChangeFields(change), {
      head: columns.map(({ title }) => title),
      rows: change.members.map((member) => columns.map(({ cell }) => cell(member))),
    });
  }
  for (const { nodeId, name, reason, hint } of change.problems) {
    output.note(output.warn(`held up: ${name || nodeId}: ${reason}`));
    if (hint !== '') output.note(`hint: ${hint}`);
  }
}

function headlines(change: KeyChangeStatus, { secret, rewrites }: Told): readonly string[] {
  const { kind, phase, newFingerprint, confirmed } = change;
  const { rewritten, remaining } = countsOf(change);
  const left =
    remaining === null ? 'not all have counted what is left' : `${remaining} still under legacy keys`;
  const unconfirmed = kind !== 'rekey' || confirmed ? '' : ', not confirmed yet';
  return [
    rewrites ? `${kind}: ${phase}; ${rewritten} re-wrapped, ${left}` : `${kind}: ${phase}`,
    ...(newFingerprint === '' ? [] : [`${secret} ${newFingerprint}${unconfirmed}`]),
  ];
}

interface Column {
  readonly title: string;
  readonly cell: (member: KeyChangeStatus['members'][number]) => string;
}

function memberColumns({ secret, rewrites }: Told): readonly Column[] {
  return [
    { title: 'MEMBER', cell: ({ name, nodeId }) => name || nodeId },
    ...(secret === null
      ? []
      : [{ title: 'HOLDS IT', cell: ({ proved }) => (proved ? 'yes' : 'no') } satisfies Column]),
    ...(rewrites
      ? ([
          { title: 'RE-WRAPPED', cell: ({ rewritten }) => String(rewritten) },
          { title: 'LEFT', cell: ({ counted, remaining }) => (counted ? String(remaining) : '?') },
        ] satisfies Column[])
      : []),
  ];
}
