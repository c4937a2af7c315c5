import type { Clock } from '../../../base/clock.ts';
import type { StatusResponse } from '../../../proto/cluster.ts';
import { type ClockReading, checkClocks } from '../clock.ts';
import { freeFinding } from '../directory.ts';
import { type Finding, warning } from '../finding.ts';
import { checkScrub } from '../scrub.ts';
import { checkAgreement } from './agreement.ts';
import { checkCertificates, type PresentedAt } from './certificates.ts';
import { checkFenced } from './fenced.ts';
import { checkMembers } from './members.ts';
import { checkQuorum } from './quorum.ts';
import type { ClusterView } from './view.ts';

export interface Seen {
  readonly view: ClusterView;
  readonly readings: readonly ClockReading[];
  readonly certificates: readonly PresentedAt[];
}

/** What is wrong with a cluster, from what its nodes have said. */
export function examineCluster({ view, readings, certificates }: Seen, clock: Clock): readonly Finding[] {
  const presented = checkCertificates(view, { seen: certificates, clock });
  if (view.answered.length === 0) {
    const reasons = view.silent.map(({ endpoint, error }) => `${endpoint}: ${error.message}`).join('; ');
    return [warning('cluster', `no node answers: ${reasons}`, 'holdfast server'), ...presented];
  }
  return [
    ...checkMembers(view),
    ...checkQuorum(view),
    ...checkFenced(view),
    ...checkAgreement(view),
    ...presented,
    ...checkClocks(readings),
    ...view.answered.flatMap(diskFindings),
    ...view.answered.flatMap(warningsOf),
  ];
}

function diskFindings({ name, disk, scrub }: StatusResponse): readonly Finding[] {
  const scrubbed = checkScrub(name, scrub);
  // Nothing free is said by a node that has not looked yet, too.
  if (!disk || (disk.freeBytes === 0 && !disk.low)) return scrubbed;
  const { freeBytes, reserveBytes, low } = disk;
  const space = { where: `on ${name}`, freeBytes, reserveBytes, low };
  return [freeFinding({ check: 'disks', ...space, mend: 'df -h' }), ...scrubbed];
}

/** What a node itself warns of, but for what has been told as a finding of its own. */
function warningsOf({ name, warnings, fenced = [] }: StatusResponse): readonly Finding[] {
  return warnings
    .filter((text) => !fenced.some(({ reason }) => text.includes(reason)))
    .map((text) => warning('status', `${name}: ${text}`, 'holdfast status'));
}
