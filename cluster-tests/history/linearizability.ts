import { describe } from './describe.ts';
import { asRequest, hasChanged } from './evaluate.ts';
import { EventLog } from './eventLog.ts';
import { modelOperation, storeModel } from './model.ts';
import { prune } from './prune.ts';
import { type Budget, DEFAULT_BUDGET, type SearchResult, search } from './search.ts';
import type { Finding, History, OperationLine } from './types.ts';

export interface LinearizabilityOptions {
  /** For each group of keys. */
  readonly budget?: Budget;
  /** Whether answers must fit in their revisions too; true when absent. */
  readonly revisions?: boolean;
}

export interface LinearizabilityResult {
  readonly findings: readonly Finding[];
  readonly operations: number;
  readonly steps: number;
}

/**
 * I32: keys that no operation has together are independent of each other, and each such group has an order of its
 * operations that keeps to real time and that one copy of the keys would have answered the same way.
 * Reads that may be stale, and reads of the past, are not for this check; `checkRevisions` has them.
 */
export function checkLinearizability(
  history: Pick<History, 'operations' | 'events' | 'log'>,
  options: LinearizabilityOptions = {},
): LinearizabilityResult {
  const { budget = DEFAULT_BUDGET, revisions = true } = options;
  const log = history.log === null ? null : new EventLog(history.events, history.log);
  const { operations } = prune(history.operations.filter(isLinearizable), log);
  const model = storeModel({ revisions });
  const findings: Finding[] = [];
  let steps = 0;
  for (const [subject, lines] of groups(operations)) {
    const intervals = lines.map((line) => ({
      call: line.call,
      ret: line.ret,
      operation: modelOperation(line),
      // Each change has a revision of its own; what reads at it comes after it.
      ...(line.rev === null
        ? {}
        : { rank: line.rev * 2 + (hasChanged(line) || line.status !== 'ok' ? 0 : 1) }),
    }));
    const result = search(model, intervals, { budget, ranks: revisions ? 'required' : 'hint' });
    steps += result.steps;
    const detail = explain(result, lines);
    findings.push({ check: 'linearizability', subject, verdict: result.verdict, detail });
  }
  return { findings, operations: operations.length, steps };
}

function isLinearizable(line: OperationLine): boolean {
  return (line.f !== 'get' && line.f !== 'range') || (line.a === 'linearizable' && line.b === 0);
}

/** The keys and prefixes that an operation has to do with. */
function placesOf(line: OperationLine): {
  readonly keys: readonly string[];
  readonly prefixes: readonly string[];
} {
  const { compares, success, failure } = asRequest(line);
  const steps = [...success, ...failure];
  return {
    keys: [
      ...compares.map(({ key }) => key),
      ...steps.flatMap((step) => (step.op === 'range' ? [] : [step.key])),
    ],
    prefixes: steps.flatMap((step) => (step.op === 'range' ? [step.prefix] : [])),
  };
}

/** Operations by connected keys, under the first key's name. */
function groups(lines: readonly OperationLine[]): ReadonlyMap<string, readonly OperationLine[]> {
  const parents = new Map<string, string>();
  const rootOf = (key: string): string => {
    let root = key;
    for (
      let parent = parents.get(root);
      parent !== undefined && parent !== root;
      parent = parents.get(root)
    ) {
      root = parent;
    }
    parents.set(key, root);
    return root;
  };
  const join = (a: string, b: string): void => {
    const [first, second] = [rootOf(a), rootOf(b)].sort();
    if (first !== undefined && second !== undefined) parents.set(second, first);
  };
  const places = lines.map(placesOf);
  for (const { keys, prefixes } of places) {
    for (const place of [...keys, ...prefixes.map(rangeName)])
      join(place, keys[0] ?? rangeName(prefixes[0] ?? ''));
  }
  const prefixes = new Set(places.flatMap((place) => place.prefixes));
  const keys = new Set(places.flatMap((place) => place.keys));
  for (const prefix of prefixes) {
    for (const key of keys) if (key.startsWith(prefix)) join(key, rangeName(prefix));
  }
  const found = new Map<string, OperationLine[]>();
  for (const [i, line] of lines.entries()) {
    const { keys = [], prefixes = [] } = places[i] ?? {};
    const root = rootOf(keys[0] ?? rangeName(prefixes[0] ?? ''));
    const group = found.get(root);
    if (group === undefined) found.set(root, [line]);
    else group.push(line);
  }
  return found;
}

/** A name for a prefix among the keys. */
function rangeName(prefix: string): string {
  return `${prefix}*`;
}

const LAST_ORDERED_SHOWN = 6;
const STUCK_SHOWN = 12;

function explain(result: SearchResult, lines: readonly OperationLine[]): string {
  if (result.verdict === 'ok') return '';
  if (result.verdict === 'unknown') return `${result.reason} over ${lines.length} operations`;
  const show = (i: number): string => {
    const line = lines[i];
    return line === undefined ? '' : `  ${describe(line)}`;
  };
  const { longest, stuck } = result;
  return [
    `${longest.length} of ${lines.length} operations can be put in order; the last of them:`,
    ...longest.slice(-LAST_ORDERED_SHOWN).map(show),
    'and after them none of these fits, of which the first has to come before all that is called later:',
    ...stuck.slice(0, STUCK_SHOWN).map(show),
    ...(stuck.length > STUCK_SHOWN ? [`  … and ${stuck.length - STUCK_SHOWN} more`] : []),
  ].join('\n');
}
