/** What a store does with an operation, as the documents promise it. Own code: nothing of src/ is asked. */
import { unreachable } from '../../src/base/assert.ts';
import type { OperationLine, Seen, StepAnswer, TxnCompare, TxnRequest, TxnStep } from './types.ts';

/** The state that an operation meets. */
export interface Before {
  item(key: string): Seen | null;
  /** In the order of the keys. */
  items(prefix: string): readonly Seen[];
}

/** What an operation leaves behind at one key: null where it deletes. */
export type Effects = ReadonlyMap<string, Seen | null>;

export interface Evaluation {
  readonly succeeded: boolean;
  readonly results: readonly StepAnswer[];
  readonly effects: Effects;
}

/** Every kind of operation as a transaction. */
export function asRequest(line: OperationLine): TxnRequest {
  switch (line.f) {
    case 'get':
      return only({ op: 'get', key: line.key });
    case 'put':
      return only({ op: 'put', key: line.key, value: line.a });
    case 'delete':
      return only({ op: 'delete', key: line.key });
    case 'range':
      return only({ op: 'range', prefix: line.key });
    case 'cas':
      return {
        compares: [casCompare(line.key, line.a)],
        success: [{ op: 'put', key: line.key, value: line.b }],
        failure: [{ op: 'get', key: line.key }],
      };
    case 'txn':
      return line.a;
    default:
      return unreachable(line, 'operation');
  }
}

function only(step: TxnStep): TxnRequest {
  return { compares: [], success: [step], failure: [] };
}

function casCompare(key: string, expected: { value: string } | { mod: number }): TxnCompare {
  return 'value' in expected
    ? { key, relation: '=', target: 'value', wanted: expected.value }
    : { key, relation: '=', target: 'mod', wanted: expected.mod };
}

/** The answer of an `ok` line in the form of `asRequest`. */
export function asAnswer(line: OperationLine): {
  readonly succeeded: boolean;
  readonly results: readonly StepAnswer[];
} {
  const { out } = line;
  if (out === null) throw new Error(`an ${line.status} operation has no answer`);
  switch (line.f) {
    case 'get':
      return { succeeded: true, results: [{ op: 'get', item: line.out?.item ?? null }] };
    case 'put':
      return { succeeded: true, results: [{ op: 'put' }] };
    case 'delete':
      return { succeeded: true, results: [{ op: 'delete', deleted: line.out?.deleted ?? false }] };
    case 'range':
      return { succeeded: true, results: [{ op: 'range', items: line.out?.items ?? [] }] };
    case 'cas':
      if (line.out?.swapped === true) return { succeeded: true, results: [{ op: 'put' }] };
      if (line.out?.item === undefined) return { succeeded: false, results: [{ op: 'withheld' }] };
      return { succeeded: false, results: [{ op: 'get', item: line.out.item }] };
    case 'txn':
      return line.out ?? { succeeded: false, results: [] };
    default:
      return unreachable(line, 'operation');
  }
}

/** The values that the operation would put, over both branches, with their keys. */
export function putsOf(line: OperationLine): readonly { readonly key: string; readonly value: string }[] {
  const { success, failure } = asRequest(line);
  return [...success, ...failure].filter((step) => step.op === 'put');
}

export function deletesOf(line: OperationLine): readonly string[] {
  const { success, failure } = asRequest(line);
  return [...success, ...failure].flatMap((step) => (step.op === 'delete' ? [step.key] : []));
}

/** Whether the operation can change anything. */
export function isMutation(line: OperationLine): boolean {
  return line.f !== 'get' && line.f !== 'range' && putsOf(line).length + deletesOf(line).length > 0;
}

/** Whether an `ok` operation has changed something. */
export function hasChanged(line: OperationLine): boolean {
  if (line.status !== 'ok') return false;
  return asAnswer(line).results.some(
    (result) => result.op === 'put' || (result.op === 'delete' && result.deleted),
  );
}

/** Runs `request` on the state before it, as revision `rev` if it changes anything. */
export function evaluate(request: TxnRequest, before: Before, rev: number): Evaluation {
  const succeeded = request.compares.every((compare) => holds(compare, before.item(compare.key)));
  const effects = new Map<string, Seen | null>();
  const now = (key: string): Seen | null => effects.get(key) ?? (effects.has(key) ? null : before.item(key));
  const results = (succeeded ? request.success : request.failure).map((step): StepAnswer => {
    switch (step.op) {
      case 'put': {
        effects.set(step.key, nextVersion(now(step.key), { key: step.key, value: step.value, rev }));
        return { op: 'put' };
      }
      case 'delete': {
        const deleted = now(step.key) !== null;
        if (deleted) effects.set(step.key, null);
        return { op: 'delete', deleted };
      }
      case 'get':
        return { op: 'get', item: now(step.key) };
      case 'range':
        return { op: 'range', items: itemsNow(before.items(step.prefix), effects, step.prefix) };
      default:
        return unreachable(step, 'step');
    }
  });
  return { succeeded, results, effects };
}

function nextVersion(before: Seen | null, put: { key: string; value: string; rev: number }): Seen {
  return {
    key: put.key,
    value: put.value,
    version: (before?.version ?? 0) + 1,
    mod: put.rev,
    create: before?.create ?? put.rev,
  };
}

function itemsNow(items: readonly Seen[], effects: Effects, prefix: string): readonly Seen[] {
  if (effects.size === 0) return items;
  const merged = new Map(items.map((item) => [item.key, item]));
  for (const [key, after] of effects) {
    if (!key.startsWith(prefix)) continue;
    if (after === null) merged.delete(key);
    else merged.set(key, after);
  }
  return [...merged.values()].sort((a, b) => compareKeys(a.key, b.key));
}

/** The store's order: by the bytes of the UTF-8 form. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'));
}

function holds(compare: TxnCompare, item: Seen | null): boolean {
  if (compare.target === 'value') {
    if (item === null) return compare.relation === '!=';
    return relationHolds(compare.relation, compareKeys(item.value, compare.wanted));
  }
  return relationHolds(compare.relation, (item?.[compare.target] ?? 0) - compare.wanted);
}

/** `difference`: the sign of what is there less what is wanted. */
export function relationHolds(relation: TxnCompare['relation'], difference: number): boolean {
  switch (relation) {
    case '=':
      return difference === 0;
    case '!=':
      return difference !== 0;
    case '>':
      return difference > 0;
    case '<':
      return difference < 0;
    default:
      return unreachable(relation, 'relation');
  }
}

export function sameItem(a: Seen | null, b: Seen | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.key === b.key &&
    a.value === b.value &&
    a.version === b.version &&
    a.mod === b.mod &&
    a.create === b.create
  );
}

/** Whether an answer is the one expected; what was withheld fits everything. */
export function sameStepAnswer(told: StepAnswer, expected: StepAnswer): boolean {
  if (told.op === 'withheld') return true;
  if (told.op === 'put') return expected.op === 'put';
  if (told.op === 'delete') return expected.op === 'delete' && told.deleted === expected.deleted;
  if (told.op === 'get') return expected.op === 'get' && sameItem(told.item, expected.item);
  return (
    expected.op === 'range' &&
    told.items.length === expected.items.length &&
    told.items.every((item, i) => sameItem(item, expected.items[i] ?? null))
  );
}
