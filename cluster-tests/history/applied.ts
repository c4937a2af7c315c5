/** What is applied once, by whom, and with the same result everywhere. */
import { describe } from './describe.ts';
import { deletesOf, hasChanged, isMutation, putsOf } from './evaluate.ts';
import { EventLog, isMarker } from './eventLog.ts';
import { promisesNothingApplied } from './status.ts';
import type { AppliedLine, DigestLine, Finding, History, KeyEvent, OperationLine } from './types.ts';

const PROBLEMS_SHOWN = 20;

function finding(check: string, subject: string, problems: readonly string[]): Finding {
  const detail = problems.slice(0, PROBLEMS_SHOWN).join('\n');
  return { check, subject, verdict: problems.length === 0 ? 'ok' : 'illegal', detail };
}

/**
 * I32: every change that was kept has exactly one operation behind it, that may have been applied; and every
 * acknowledged change was kept. Unique values say which operation it was; deletions are counted by key.
 */
export function checkApplied(history: Pick<History, 'operations' | 'events' | 'log'>): readonly Finding[] {
  if (history.log === null) return [];
  const log = new EventLog(history.events, history.log);
  const mutations = history.operations.filter(isMutation);
  return [
    finding('applied once', 'puts', putProblems(mutations, history.events)),
    finding('applied once', 'deletes', deleteProblems(mutations, history.events)),
    finding('nothing lost', 'acknowledged changes', lostChanges(mutations, log)),
  ];
}

function putProblems(mutations: readonly OperationLine[], events: readonly KeyEvent[]): readonly string[] {
  const writers = new Map<string, OperationLine>();
  for (const line of mutations) {
    for (const { key, value } of putsOf(line)) writers.set(placeOf(key, value), line);
  }
  const problems: string[] = [];
  const seenAt = new Map<string, number>();
  for (const event of events) {
    if (event.type !== 'put' || isMarker(event.key)) continue;
    const place = placeOf(event.key, event.value);
    const writer = writers.get(place);
    const what = `${event.key} = ${event.value} at revision ${event.mod}`;
    if (writer === undefined) problems.push(`${what}: nobody wrote that`);
    else if (writer.status === 'ok' && writer.rev !== event.mod) {
      problems.push(`${what}: acknowledged with another revision\n  ${describe(writer)}`);
    } else if (writer.status !== 'ok' && promisesNothingApplied(writer.error ?? '')) {
      problems.push(`${what}: refused, and applied all the same\n  ${describe(writer)}`);
    }
    const before = seenAt.get(place);
    if (before !== undefined) problems.push(`${what}: applied before, at revision ${before}`);
    seenAt.set(place, event.mod);
  }
  return problems;
}

function placeOf(key: string, value: string): string {
  return JSON.stringify([key, value]);
}

function deleteProblems(mutations: readonly OperationLine[], events: readonly KeyEvent[]): readonly string[] {
  const explained = new Set<string>();
  const open = new Map<string, number>();
  for (const line of mutations) {
    for (const key of deletesOf(line)) {
      if (hasChanged(line)) explained.add(placeOf(key, String(line.rev)));
      else if (line.status === 'info') open.set(key, (open.get(key) ?? 0) + 1);
    }
  }
  const problems: string[] = [];
  for (const event of events) {
    if (event.type !== 'delete' || explained.has(placeOf(event.key, String(event.mod)))) continue;
    const left = (open.get(event.key) ?? 0) - 1;
    open.set(event.key, left);
    if (left < 0)
      problems.push(`${event.key} deleted at revision ${event.mod}: by nobody, or more often than asked`);
  }
  return problems;
}

function lostChanges(mutations: readonly OperationLine[], log: EventLog): readonly string[] {
  return mutations
    .filter((line) => hasChanged(line) && line.rev !== null && line.rev > log.line.after)
    .filter((line) => (line.rev ?? 0) <= log.line.upTo && log.at(line.rev ?? 0).length === 0)
    .filter((line) =>
      [...putsOf(line).map(({ key }) => key), ...deletesOf(line)].some((key) =>
        key.startsWith(log.line.prefix),
      ),
    )
    .map((line) => `acknowledged, and not among the events\n  ${describe(line)}`);
}

/** I32: a request id stands for one log entry, on every node. */
export function checkRequestIds(applied: readonly AppliedLine[]): readonly Finding[] {
  if (applied.length === 0) return [];
  const entries = new Map<string, AppliedLine>();
  const problems: string[] = [];
  for (const line of applied) {
    const id = `${line.clientId}/${line.number}`;
    const first = entries.get(id);
    if (first === undefined) entries.set(id, line);
    else if (first.index !== line.index) {
      problems.push(
        `request ${id}: entry ${first.index} on ${first.node}, entry ${line.index} on ${line.node}`,
      );
    }
  }
  return [finding('applied once', 'request ids', problems)];
}

/** I27: nodes that have applied the same entries have the same state. */
export function checkDigests(digests: readonly DigestLine[]): readonly Finding[] {
  if (digests.length === 0) return [];
  const byIndex = new Map<number, DigestLine>();
  const problems: string[] = [];
  const last = new Map<string, DigestLine>();
  for (const line of digests) {
    last.set(line.node, line);
    const other = byIndex.get(line.index);
    if (other === undefined) byIndex.set(line.index, line);
    else if (other.digest !== line.digest || other.rev !== line.rev) {
      problems.push(
        `at index ${line.index}: ${other.node} has ${other.digest} (revision ${other.rev}), ${line.node} has ${line.digest} (revision ${line.rev})`,
      );
    }
  }
  const indexes = new Set([...last.values()].map(({ index }) => index));
  if (problems.length === 0 && (indexes.size > 1 || last.size < 2)) {
    const detail = `${last.size} nodes were asked, at ${indexes.size} different indexes: nothing is compared`;
    return [{ check: 'digests', subject: 'all nodes', verdict: 'unknown', detail }];
  }
  return [finding('digests', 'all nodes', problems)];
}
