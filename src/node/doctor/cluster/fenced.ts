import type { FencedMember } from '../../../proto/cluster.ts';
import { type Finding, failure } from '../finding.ts';
import { type ClusterView, fencedIds, namesOf } from './view.ts';

/** By what a member is fenced for. A node that runs beside a copy of itself may be the one that is well: nothing may take it out. */
const MENDED_BY: ReadonlyMap<string, (name: string) => string> = new Map<string, (name: string) => string>([
  ['CONTROL_KEY_MISMATCH', () => 'holdfast server --control-key-path FILE'],
  ['JWT_SECRET_MISMATCH', () => 'holdfast server --jwt-secret-path FILE'],
  ['VERSION_UNSUPPORTED', () => 'holdfast version'],
  [
    'NODE_ID_REUSED',
    (name) => `systemctl stop holdfast  # where a copy of the data directory of ${name} runs`,
  ],
]);
const TAKEN_OUT = (name: string): string => `holdfast member remove ${name}`;

/** Members that the others neither hear nor speak to, each once, with why. */
export function checkFenced(view: ClusterView): readonly Finding[] {
  return [...fencedIds(view)].map((fencedId) => {
    const seen = view.answered.flatMap(({ name: by, nodeId, fenced = [] }) =>
      nodeId === fencedId ? [] : fenced.filter((one) => one.nodeId === fencedId).map((one) => ({ by, one })),
    );
    return fencedFinding(
      seen.map(({ one }) => one),
      namesOf(seen.map(({ by }) => ({ name: by }))),
    );
  });
}

function fencedFinding([first]: readonly FencedMember[], by: string): Finding {
  const { nodeId = '', name = '', code = '', reason = '' } = first ?? {};
  const shown = name === '' ? nodeId : name;
  const mend = MENDED_BY.get(code) ?? TAKEN_OUT;
  return failure('fenced', `${shown} is fenced by ${by}, ${code}: ${reason}`, mend(shown));
}
