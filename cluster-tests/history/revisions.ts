import { describe, describeItem } from './describe.ts';
import {
  asAnswer,
  asRequest,
  type Before,
  type Evaluation,
  evaluate,
  hasChanged,
  sameItem,
  sameStepAnswer,
} from './evaluate.ts';
import { EventLog } from './eventLog.ts';
import { prune } from './prune.ts';
import type { Finding, History, KeyEvent, OperationLine, StepAnswer } from './types.ts';

const PROBLEMS_SHOWN = 20;

export interface RevisionsResult {
  readonly findings: readonly Finding[];
  /** Answers that were compared with the replayed state. */
  readonly replayed: number;
  /** Answers beyond what the events cover. */
  readonly notCovered: number;
}

/**
 * What the revisions in the answers promise over all keys at once: no two changes have the same one; what was answered
 * before a call has a smaller one than what the call changes, and none above what it reads; and replaying the events
 * gives every answer, also those of reads that may be stale, at the revision that they name.
 */
export function checkRevisions(history: Pick<History, 'operations' | 'events' | 'log'>): RevisionsResult {
  const log = history.log === null ? null : new EventLog(history.events, history.log);
  const answered = history.operations.filter(({ status }) => status === 'ok');
  const settled = prune(history.operations, log).operations;
  const replay = log === null ? null : replayAll(answered, log);
  const findings = [
    finding('revision once', 'all changes', repeatedRevisions(answered)),
    finding('revision order', 'real time', lateRevisions(settled)),
  ];
  if (replay !== null) findings.push(replayFinding(replay, answered.length));
  return { findings, replayed: replay?.count ?? 0, notCovered: replay?.notCovered ?? answered.length };
}

function finding(check: string, subject: string, problems: readonly string[]): Finding {
  const more = problems.length - PROBLEMS_SHOWN;
  const shown = [...problems.slice(0, PROBLEMS_SHOWN), ...(more > 0 ? [`… and ${more} more`] : [])];
  return { check, subject, verdict: problems.length === 0 ? 'ok' : 'illegal', detail: shown.join('\n') };
}

function replayFinding(replay: Replay, answers: number): Finding {
  if (replay.count > 0 || answers === 0) return finding('replay', 'all answers', replay.problems);
  const detail = `the events cover none of ${answers} answers`;
  return { check: 'replay', subject: 'all answers', verdict: 'unknown', detail };
}

function repeatedRevisions(answered: readonly OperationLine[]): readonly string[] {
  const changes = new Map<number, OperationLine>();
  const problems: string[] = [];
  for (const line of answered) {
    if (!hasChanged(line) || line.rev === null) continue;
    const other = changes.get(line.rev);
    if (other === undefined) changes.set(line.rev, line);
    else problems.push(`one revision, two changes:\n  ${describe(other)}\n  ${describe(line)}`);
  }
  return problems;
}

/** Whether the answer has to be as new as everything that was answered before its call. */
function isCurrent(line: OperationLine): boolean {
  return (line.f !== 'get' && line.f !== 'range') || (line.a === 'linearizable' && line.b === 0);
}

function lateRevisions(lines: readonly OperationLine[]): readonly string[] {
  const problems: string[] = [];
  const current = lines.filter((line) => line.rev !== null && isCurrent(line));
  const events = current.flatMap((line) => {
    // What was not answered proves nothing by itself; its revision was found among the events.
    const call = { time: line.call, isReturn: false, line };
    return line.status === 'ok' && line.ret !== null
      ? [call, { time: line.ret, isReturn: true, line }]
      : [call];
  });
  events.sort((a, b) => a.time - b.time || Number(a.isReturn) - Number(b.isReturn));
  let highest: OperationLine | null = null;
  for (const { isReturn, line } of events) {
    const reached: number = highest?.rev ?? 0;
    const rev = line.rev ?? 0;
    if (isReturn) {
      if (rev > reached) highest = line;
    } else if (highest !== null && (rev < reached || (rev === reached && changes(line)))) {
      problems.push(
        `called after revision ${reached} was answered:\n  ${describe(highest)}\n  ${describe(line)}`,
      );
    }
  }
  return problems;
}

/** Whether it has a revision of its own. */
function changes(line: OperationLine): boolean {
  return line.status === 'ok' ? hasChanged(line) : line.rev !== null;
}

interface Replay {
  readonly problems: readonly string[];
  readonly count: number;
  readonly notCovered: number;
}

function replayAll(answered: readonly OperationLine[], log: EventLog): Replay {
  const problems: string[] = [];
  let notCovered = 0;
  for (const line of answered) {
    if (!isCovered(line, log)) notCovered += 1;
    else problems.push(...replayOne(line, log).map((problem) => `${problem}\n  ${describe(line)}`));
  }
  return { problems, count: answered.length - notCovered, notCovered };
}

/** The revision whose state an answer shows: for a change, with the change itself. */
function shownRevision(line: OperationLine): number {
  const asOf = line.f === 'get' || line.f === 'range' ? line.b : 0;
  return asOf > 0 ? asOf : (line.rev ?? 0);
}

function isCovered(line: OperationLine, log: EventLog): boolean {
  const { compares, success, failure } = asRequest(line);
  const places = compares.map(({ key }) => key);
  for (const step of [...success, ...failure]) places.push(step.op === 'range' ? step.prefix : step.key);
  return places.every((place) => log.covers(place, shownRevision(line)));
}

function replayOne(line: OperationLine, log: EventLog): readonly string[] {
  const shown = shownRevision(line);
  const changed = hasChanged(line);
  const rev = changed ? shown - 1 : shown;
  const before: Before = { item: (key) => log.item(key, rev), items: (prefix) => log.items(prefix, rev) };
  const expected = evaluate(asRequest(line), before, shown);
  const problems = [...answerProblems(asAnswer(line), expected)];
  if (changed) problems.push(...eventProblems(expected, log.at(shown)));
  return problems;
}

function answerProblems(
  told: { readonly succeeded: boolean; readonly results: readonly StepAnswer[] },
  expected: Evaluation,
): readonly string[] {
  if (told.succeeded !== expected.succeeded) {
    return [`the condition ${expected.succeeded ? 'held' : 'did not hold'} at that revision`];
  }
  if (told.results.length !== expected.results.length) return ['another number of answers than of steps'];
  return told.results.flatMap((result, i) => {
    const wanted = expected.results[i];
    if (wanted === undefined || sameStepAnswer(result, wanted)) return [];
    return [`at that revision there was ${showAnswer(wanted)}`];
  });
}

function showAnswer(answer: StepAnswer): string {
  return answer.op === 'get' ? describeItem(answer.item) : JSON.stringify(answer);
}

/** Whether exactly what the operation does was kept as its revision. */
function eventProblems(expected: Evaluation, kept: readonly KeyEvent[]): readonly string[] {
  const problems: string[] = [];
  const rest = new Map(kept.map((event) => [event.key, event]));
  for (const [key, after] of expected.effects) {
    const event = rest.get(key);
    rest.delete(key);
    if (event === undefined) problems.push(`its change of ${key} is not among the events`);
    else if (!sameItem(after, event.type === 'delete' ? null : event)) {
      problems.push(`its change of ${key} was kept as ${event.type} ${describeItem(event)}`);
    }
  }
  for (const key of rest.keys()) problems.push(`its revision also changes ${key}`);
  return problems;
}
