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
  const deletions = openDeletions(lines, log);
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
  deletions: ReadonlyMap<string, number>,
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
  // A branch that only deletes leaves no value to be known by.
  return deletes.some((key) => (deletions.get(key) ?? 0) > 0) ? 'open' : 'never';
}

/** By key: deletions among the events that no acknowledged operation explains. */
function openDeletions(lines: readonly OperationLine[], log: EventLog | null): ReadonlyMap<string, number> {
  const open = new Map<string, number>();
  if (log === null) return open;
  const explained = new Set<number>();
  const keys = new Set<string>();
  for (const line of lines) {
    if (hasChanged(line) && line.rev !== null) explained.add(line.rev);
    if (line.status === 'info') for (const key of deletesOf(line)) keys.add(key);
  }
  for (const key of keys) {
    const count = log.ofKey(key).filter(({ type, mod }) => type === 'delete' && !explained.has(mod)).length;
    if (count > 0) open.set(key, count);
  }
  return open;
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
