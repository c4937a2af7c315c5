import { deletesOf, hasChanged, isMutation, putsOf } from './evaluate.ts';
import type { EventLog } from './eventLog.ts';
import type { OperationLine } from './types.ts';

export interface Pruned {
  /**
   * What the search has to order: `ok` operations as they were, and writes of unknown outcome: with their revision and
   * the latest end that can be proved where they are found among the events, as they were where nothing says.
   */
  readonly operations: readonly OperationLine[];
  /** How many writes of unknown outcome were found, were proved never to have happened, are still open. */
  readonly found: number;
  readonly dropped: number;
  readonly open: number;
}

/**
 * Settles what the events can settle: their number is what makes the search expensive. Values are unique, so a write
 * is in the events or never was; the first operation to return a revision not below its own proves that it had
 * happened by then. Reads of unknown outcome and refused operations say nothing and go.
 */
export function prune(lines: readonly OperationLine[], log: EventLog | null): Pruned {
  const proof = new ProofTimes(lines);
  const operations: OperationLine[] = [];
  const counts = { found: 0, dropped: 0, open: 0 };
  const deletions = settledDeletions(lines, log);
  for (const line of lines) {
    if (line.status === 'ok') operations.push(line);
    if (line.status !== 'info' || !isMutation(line)) continue;
    const fate = fateOf(line, log, deletions);
    if (fate === 'open') {
      counts.open += 1;
      operations.push({ ...line, ret: null });
    } else if (fate === 'never') counts.dropped += 1;
    else {
      counts.found += 1;
      operations.push({ ...line, rev: fate, ret: proof.after(fate, line.call) });
    }
  }
  return { operations, ...counts };
}

/** The revision at which the write happened, or that it never did, or that nothing says. */
function fateOf(
  line: OperationLine,
  log: EventLog | null,
  deletions: ReadonlyMap<OperationLine, number>,
): number | 'never' | 'open' {
  if (log === null) return 'open';
  const puts = putsOf(line);
  const deletes = deletesOf(line);
  if (![...puts.map(({ key }) => key), ...deletes].every((key) => log.covers(key, log.line.upTo)))
    return 'open';
  for (const { key, value } of puts) {
    const event = log.ofKey(key).find((event) => event.type === 'put' && event.value === value);
    if (event !== undefined) return event.mod;
  }
  return deletions.get(line) ?? (puts.length === 0 && deletes.length > 1 ? 'open' : 'never');
}

/**
 * Which deletions of unknown outcome happened, and when. They leave no value to be known by, but those of one key are
 * alike in everything but their calls: giving the first event that no acknowledged operation explains to the first
 * call, and so on, is as good as any way. What is left over deleted nothing. Those of several keys stay open.
 */
function settledDeletions(
  lines: readonly OperationLine[],
  log: EventLog | null,
): ReadonlyMap<OperationLine, number> {
  const settled = new Map<OperationLine, number>();
  if (log === null) return settled;
  const explained = new Set<number>();
  const asked = new Map<string, OperationLine[]>();
  for (const line of lines) {
    if (hasChanged(line) && line.rev !== null) explained.add(line.rev);
    const [key, ...others] = deletesOf(line);
    if (line.status !== 'info' || key === undefined || others.length > 0 || putsOf(line).length > 0) continue;
    const deletions = asked.get(key);
    if (deletions === undefined) asked.set(key, [line]);
    else deletions.push(line);
  }
  for (const [key, deletions] of asked) {
    const byCall = deletions.toSorted((a, b) => a.call - b.call);
    const found = log.ofKey(key).filter(({ type, mod }) => type === 'delete' && !explained.has(mod));
    for (const [i, { mod }] of found.entries()) {
      const line = byCall[i];
      if (line !== undefined) settled.set(line, mod);
    }
  }
  return settled;
}

/** When a revision is first proved to have been reached. */
class ProofTimes {
  readonly #revisions: readonly number[];
  /** At i: the earliest return of an operation at `#revisions[i]` or later. */
  readonly #earliest: readonly number[];
  readonly #end: number;

  constructor(lines: readonly OperationLine[]) {
    const proofs = lines
      .flatMap(({ status, rev, ret }) =>
        status === 'ok' && rev !== null && ret !== null ? [{ rev, ret }] : [],
      )
      .sort((a, b) => a.rev - b.rev);
    const earliest: number[] = [];
    let first = Number.POSITIVE_INFINITY;
    for (let i = proofs.length - 1; i >= 0; i -= 1) {
      first = Math.min(first, proofs[i]?.ret ?? first);
      earliest[i] = first;
    }
    this.#revisions = proofs.map(({ rev }) => rev);
    this.#earliest = earliest;
    this.#end = lines.reduce((end, { call, ret }) => Math.max(end, call, ret ?? 0), 0) + 1;
  }

  /** Not before the call itself; the end of the history where nothing proves it. */
  after(rev: number, call: number): number {
    let low = 0;
    let high = this.#revisions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#revisions[middle] ?? 0) < rev) low = middle + 1;
      else high = middle;
    }
    return Math.max(this.#earliest[low] ?? this.#end, call + 0.5);
  }
}
