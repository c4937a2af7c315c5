import { describe } from './describe.ts';
import { asAnswer, asRequest, hasChanged } from './evaluate.ts';
import { isMarker } from './eventLog.ts';
import type { Finding, History, OperationLine, Seen, StepAnswer, WorkloadLine } from './types.ts';

const PROBLEMS_SHOWN = 10;

type SumWorkload = WorkloadLine & { readonly kind: 'sum' };

export interface SumsResult {
  readonly findings: readonly Finding[];
  /** Answers that showed all accounts at once, and states among the events. */
  readonly sums: number;
}

/** The whole number that a value begins with, such as 95 of "95#c3-17"; null when there is none. */
export function amountOf(value: string): number | null {
  const digits = /^-?\d+/.exec(value)?.[0];
  return digits === undefined ? null : Number(digits);
}

/**
 * Transfers move amounts between the keys of a prefix and never make or lose any: every answer that shows all of
 * them at once, and every state that was ever there, sums to the same total.
 */
export function checkSums(
  history: Pick<History, 'operations' | 'events'>,
  workload: SumWorkload,
): SumsResult {
  const problems: string[] = [];
  const states = stateProblems(history, workload);
  problems.push(...states.problems);
  let sums = states.count;
  for (const line of history.operations) {
    const items = accountsSeen(line, workload);
    if (items === null) continue;
    sums += 1;
    const sum = sumOf(items);
    if (sum === workload.total) continue;
    problems.push(`the sum is ${sum}, not ${workload.total}\n  ${describe(line)}`);
  }
  const verdict = problems.length > 0 ? 'illegal' : sums === 0 ? 'unknown' : 'ok';
  const detail =
    problems.length === 0 && sums === 0
      ? 'nobody has read all accounts'
      : problems.slice(0, PROBLEMS_SHOWN).join('\n');
  return { findings: [{ check: 'sum', subject: `${workload.prefix}*`, verdict, detail }], sums };
}

function sumOf(items: Iterable<Seen>): number {
  let sum = 0;
  for (const { value } of items) sum += amountOf(value) ?? Number.NaN;
  return sum;
}

/** The accounts as one answer shows them, or null when it does not show them all. */
function accountsSeen(line: OperationLine, { prefix, since }: SumWorkload): readonly Seen[] | null {
  if (line.status !== 'ok' || hasChanged(line)) return null;
  const shown = line.f === 'range' && line.b > 0 ? line.b : (line.rev ?? 0);
  if (shown < since) return null;
  const { succeeded, results } = asAnswer(line);
  const { success, failure } = asRequest(line);
  for (const [i, step] of (succeeded ? success : failure).entries()) {
    const answer: StepAnswer | undefined = results[i];
    if (step.op === 'range' && step.prefix === prefix && answer?.op === 'range') return answer.items;
  }
  return null;
}

/** Each state that the events lead through, once all accounts are there. */
function stateProblems(
  { events }: Pick<History, 'events'>,
  { prefix, since, total }: SumWorkload,
): { readonly problems: readonly string[]; readonly count: number } {
  const problems: string[] = [];
  const amounts = new Map<string, number>();
  let sum = 0;
  let count = 0;
  for (const [i, event] of events.entries()) {
    if (event.key.startsWith(prefix) && !isMarker(event.key)) {
      const amount = event.type === 'delete' ? 0 : (amountOf(event.value) ?? Number.NaN);
      sum += amount - (amounts.get(event.key) ?? 0);
      amounts.set(event.key, amount);
    }
    const isLastOfRevision = events[i + 1]?.mod !== event.mod;
    if (event.mod < since || !isLastOfRevision) continue;
    count += 1;
    if (sum !== total) problems.push(`after revision ${event.mod} the sum is ${sum}, not ${total}`);
  }
  return { problems, count };
}
