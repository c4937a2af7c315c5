import { checkApplied, checkDigests, checkRequestIds } from './applied.ts';
import { checkEvents } from './eventLog.ts';
import { checkLinearizability, type LinearizabilityOptions } from './linearizability.ts';
import { checkListAppend } from './listAppend.ts';
import { checkRecording } from './readHistory.ts';
import { checkRevisions } from './revisions.ts';
import { checkSums } from './sums.ts';
import type { Finding, History, Report, Verdict } from './types.ts';
import { checkWatches } from './watches.ts';

/** Every check that the recording has something for. */
export function checkHistory(history: History, options: LinearizabilityOptions = {}): Report {
  const findings: Finding[] = [checkRecording(history)];
  const counts = new Map<string, number>();
  const linearizability = checkLinearizability(history, options);
  findings.push(...linearizability.findings);
  counts.set('operations', history.operations.length);
  counts.set(
    'operations of unknown outcome',
    history.operations.filter(({ status }) => status === 'info').length,
  );
  counts.set('operations put in order', linearizability.operations);
  counts.set('steps of the search', linearizability.steps);
  const revisions = checkRevisions(history);
  findings.push(...revisions.findings);
  counts.set('answers replayed', revisions.replayed);
  counts.set('answers not covered by the events', revisions.notCovered);
  counts.set('events', history.events.length);
  if (history.log !== null) findings.push(...checkEvents(history.events));
  findings.push(...checkApplied(history));
  findings.push(...checkRequestIds(history.applied), ...checkDigests(history.digests));
  counts.set('digests', history.digests.length);
  findings.push(...checkWatches(history));
  counts.set('watches', new Set(history.watches.map(({ watch }) => watch)).size);
  counts.set(
    'watch events',
    history.watches.reduce((sum, line) => sum + (line.kind === 'batch' ? line.events.length : 0), 0),
  );
  for (const workload of history.workloads) {
    if (workload.kind === 'sum') {
      const result = checkSums(history, workload);
      findings.push(...result.findings);
      counts.set(`sums of ${workload.prefix}*`, result.sums);
    } else {
      const result = checkListAppend(history.operations, workload);
      findings.push(...result.findings);
      counts.set(`list transactions of ${workload.prefix}*`, result.transactions);
    }
  }
  return { verdict: worst(findings), findings, counts };
}

export function worst(findings: readonly Finding[]): Verdict {
  const verdicts = new Set(findings.map(({ verdict }) => verdict));
  return verdicts.has('illegal') ? 'illegal' : verdicts.has('unknown') ? 'unknown' : 'ok';
}

/** The report as text: what is not ok in full, the rest in numbers. */
export function renderReport(report: Report, options: { readonly all?: boolean } = {}): string {
  const lines: string[] = [];
  for (const { check, subject, verdict, detail } of report.findings) {
    if (verdict === 'ok' && options.all !== true) continue;
    lines.push(`${verdict.padEnd(7)} ${check}: ${subject}`);
    if (detail !== '') lines.push(...detail.split('\n').map((line) => `        ${line}`));
  }
  const tally = new Map<string, Map<Verdict, number>>();
  for (const { check, verdict } of report.findings) {
    const verdicts = tally.get(check) ?? new Map<Verdict, number>();
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    tally.set(check, verdicts);
  }
  for (const [check, verdicts] of tally) {
    lines.push(
      `${check.padEnd(24)} ${[...verdicts].map(([verdict, count]) => `${count} ${verdict}`).join(', ')}`,
    );
  }
  for (const [what, count] of report.counts) lines.push(`${String(count).padStart(10)} ${what}`);
  lines.push(`verdict: ${report.verdict}`);
  return lines.join('\n');
}
