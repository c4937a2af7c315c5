import { type Finding, failure, notice, ok, warning } from '../finding.ts';
import { type ClusterView, namesOf, takesPart } from './view.ts';

const CHECK = 'quorum';
const START = 'holdfast server';

/** How many more voters may fail, and whether there is one more than is of use. */
export function checkQuorum(view: ClusterView): readonly Finding[] {
  const voters = view.members.filter(({ role }) => role === 'voter');
  if (voters.length === 0) return [];
  const needed = Math.floor(voters.length / 2) + 1;
  const out = voters.filter((voter) => !takesPart(view, voter));
  const spare = voters.length - out.length - needed;
  const counted = `${voters.length - out.length} of ${voters.length} voters take part and ${needed} are needed`;
  const missing = out.length === 0 ? '' : `; missing: ${namesOf(out)}`;
  if (spare < 0)
    return [failure(CHECK, `${counted}: nothing can be written${missing}`, START), ...evenness(view)];
  if (view.answered.every(({ leader }) => leader === ''))
    return [
      failure(CHECK, `no node leads, though ${counted}${missing}`, 'holdfast status'),
      ...evenness(view),
    ];
  if (spare === 0) {
    const mend = out.length === 0 ? addVoter(view) : START;
    return [warning(CHECK, `${counted}: not one more may fail${missing}`, mend), ...evenness(view)];
  }
  return [ok(CHECK, `${counted}: ${spare} more may fail${missing}`), ...evenness(view)];
}

function evenness(view: ClusterView): readonly Finding[] {
  const count = view.members.filter(({ role }) => role === 'voter').length;
  if (count % 2 === 1) return [];
  const bears = count / 2 - 1;
  const message = `${count} voters bear the loss of ${bears}, as ${count - 1} do: one more would bear one more`;
  return [notice('voters', message, addVoter(view))];
}

/** A learner that is there already becomes one, or another node joins. */
function addVoter(view: ClusterView): string {
  const learner = view.members.find((member) => member.role === 'learner' && takesPart(view, member));
  return learner === undefined
    ? 'holdfast member add-token --role voter'
    : `holdfast member promote ${learner.name}`;
}
