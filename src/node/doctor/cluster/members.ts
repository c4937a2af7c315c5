import { LIMITS } from '../../../base/limits.ts';
import type { MemberStatus } from '../../../proto/cluster.ts';
import { type Finding, ok, warning } from '../finding.ts';
import { type ClusterView, fencedIds, namesOf, type SilentEndpoint, takesPart } from './view.ts';

const START = 'holdfast server';

/** Members that do not answer, or that the leader does not hear; then learners that are not caught up. */
export function checkMembers(view: ClusterView): readonly Finding[] {
  const silent = view.silent.map((one) => silentFinding(view, one));
  const unheard = unheardMembers(view).map((member) =>
    warning('members', `${member.name} is not heard by the leader at ${member.peerAddress}`, START),
  );
  const learners = view.members.filter(({ role }) => role === 'learner');
  const troubles = [...silent, ...unheard];
  const whole = troubles.length > 0 ? troubles : [ok('members', `all answer: ${namesOf(view.members)}`)];
  return [...whole, ...learners.map((learner) => learnerFinding(view, learner))];
}

function silentFinding({ members }: ClusterView, { endpoint, error }: SilentEndpoint): Finding {
  const member = members.find(({ apiAddress }) => apiAddress === endpoint);
  if (member !== undefined)
    return warning('members', `${member.name} does not answer: ${error.message}`, START);
  const addresses = members.map(({ apiAddress }) => apiAddress).filter((address) => address !== '');
  const message = `the context names ${endpoint}, where no member listens: ${error.message}`;
  return warning('members', message, `export HOLDFAST_ENDPOINTS=${addresses.join(',')}`);
}

/** But for those whose silence has been told already: fenced ones, and ones that do not answer us either. */
function unheardMembers(view: ClusterView): readonly MemberStatus[] {
  if (view.leader === null) return [];
  const fenced = fencedIds(view);
  const silent = new Set(view.silent.map(({ endpoint }) => endpoint));
  return view.members.filter(
    ({ nodeId, role, reachable, apiAddress }) =>
      role === 'voter' && !reachable && !fenced.has(nodeId) && !silent.has(apiAddress),
  );
}

function learnerFinding(view: ClusterView, learner: MemberStatus): Finding {
  const check = 'learners';
  const { name, matchIndex } = learner;
  if (!takesPart(view, learner)) {
    const message = `learner ${name} does not take part: a node that does not come back is to be removed`;
    return warning(check, message, `holdfast member remove ${name}`);
  }
  const behind = view.leader === null ? 0 : (view.leader.log?.lastIndex ?? 0) - matchIndex;
  if (behind <= LIMITS.learnerCatchUpEntriesMax) return ok(check, `learner ${name} is caught up`);
  return warning(check, `learner ${name} is ${behind} entries behind the leader`, 'holdfast member list');
}
