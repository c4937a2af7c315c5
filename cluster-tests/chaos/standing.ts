import type { StatusResponse } from '../../src/client/index.ts';

/** Who leads since when. */
export interface Standing {
  readonly leader: string;
  readonly term: number;
  /** The end of the leader's log. */
  readonly lastIndex: number;
}

/** What all who answer agree on, the leader among them; null: they do not. */
export function standingOf(statuses: readonly StatusResponse[]): Standing | null {
  const own = statuses.find((status) => status.role === 'leader');
  if (own === undefined) return null;
  const agree = statuses.every(({ leader, term }) => leader === own.nodeId && term === own.term);
  return agree ? { leader: own.name, term: own.term, lastIndex: own.log?.lastIndex ?? 0 } : null;
}

export function isSame(one: Standing | null, other: Standing | null): boolean {
  return one !== null && other !== null && one.leader === other.leader && one.term === other.term;
}
