import type { StatusResponse } from '../../../proto/cluster.ts';
import { type Finding, failure, ok } from '../finding.ts';
import { type ClusterView, namesOf } from './view.ts';

interface Shared {
  readonly check: string;
  /** Empty from a release that does not tell it. */
  readonly of: (status: StatusResponse) => string;
  /** On the node that differs. */
  readonly mend: (name: string) => string;
}

/** What has to be the same on all nodes. */
const SHARED: readonly Shared[] = [
  {
    check: 'same control key',
    of: ({ controlKeyFingerprint }) => controlKeyFingerprint,
    mend: () => 'holdfast server --control-key-path FILE',
  },
  {
    check: 'same JWT secret',
    of: ({ jwtSecretFingerprint = '' }) => jwtSecretFingerprint,
    mend: () => 'holdfast server --jwt-secret-path FILE',
  },
  {
    check: 'same encryption',
    of: ({ encryption }) => encryption,
    mend: (name) => `holdfast member remove ${name}`,
  },
];

/** One finding for each thing that all nodes share, or one for each node that differs from the leader or from most. */
export function checkAgreement(view: ClusterView): readonly Finding[] {
  return SHARED.flatMap((shared) => {
    const { check, of, mend } = shared;
    const telling = view.answered.filter((status) => of(status) !== '');
    const expected = expectedValue(view, telling.map(of));
    if (expected === null) return [];
    const odd = telling.filter((status) => of(status) !== expected);
    if (odd.length === 0) return [ok(check, `${expected} on ${namesOf(telling)}`)];
    return odd.map((status) =>
      failure(check, `${status.name} has ${of(status)}, the cluster ${expected}`, mend(status.name)),
    );

    function expectedValue({ leader }: ClusterView, values: readonly string[]): string | null {
      const led = leader === null ? '' : of(leader);
      return led === '' ? mostFrequent(values) : led;
    }
  });
}

function mostFrequent(values: readonly string[]): string | null {
  const count = (value: string): number => values.filter((one) => one === value).length;
  return values.toSorted((left, right) => count(right) - count(left)).at(0) ?? null;
}
