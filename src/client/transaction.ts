/**
 * Transactions as applications write them:
 * `store.transaction({ compares: [compare.version('k').equals(0)], success: [put('k', 'v')], failure: [get('k')] })`
 */
import {
  COMPARE_TARGET,
  type Compare,
  type Operation,
  type OperationOutcome,
  RELATION,
} from '../proto/storage.ts';
import {
  type Bytes,
  type Item,
  type KeySelector,
  oneKey,
  toBytes,
  toItem,
  toItemOrNull,
  toRange,
} from './keys.ts';

/** One condition. A key that does not exist has the numbers 0, and equals no value. */
export interface CompareBuilder<T> {
  equals(wanted: T): Compare;
  notEquals(wanted: T): Compare;
  greaterThan(wanted: T): Compare;
  lessThan(wanted: T): Compare;
}

export const compare = {
  value: (key: Bytes): CompareBuilder<Bytes> =>
    builder((relation, wanted) => ({
      ...condition(key, { target: COMPARE_TARGET.VALUE, relation }),
      value: toBytes(wanted),
    })),
  version: (key: Bytes) => numeric(key, COMPARE_TARGET.VERSION),
  createRevision: (key: Bytes) => numeric(key, COMPARE_TARGET.CREATE_REVISION),
  modRevision: (key: Bytes) => numeric(key, COMPARE_TARGET.MOD_REVISION),
  exists: (key: Bytes): Compare => numeric(key, COMPARE_TARGET.VERSION).greaterThan(0),
  missing: (key: Bytes): Compare => numeric(key, COMPARE_TARGET.VERSION).equals(0),
} as const;

/** `previous`: answer with what was there before. */
export function put(key: Bytes, value: Bytes, options: { readonly previous?: boolean } = {}): Operation {
  return { put: { key: toBytes(key), value: toBytes(value), previous: options.previous ?? false } };
}

/** Deletes one key, or all of a selection. */
export function del(target: Bytes | KeySelector, options: { readonly previous?: boolean } = {}): Operation {
  return { delete: { range: selection(target), previous: options.previous ?? false } };
}

export function get(key: Bytes): Operation {
  return { range: { range: oneKey(toBytes(key)), limit: 1, keysOnly: false, countOnly: false } };
}

export function range(
  selector: KeySelector,
  options: { readonly limit?: number; readonly keysOnly?: boolean; readonly countOnly?: boolean } = {},
): Operation {
  const { limit = 0, keysOnly = false, countOnly = false } = options;
  return { range: { range: toRange(selector), limit, keysOnly, countOnly } };
}

/** What one operation of the branch that ran has done, in the order of the branch. */
export type OperationResult =
  | { readonly kind: 'put'; readonly previous: Item | null }
  | { readonly kind: 'delete'; readonly deleted: number; readonly previous: readonly Item[] }
  | {
      readonly kind: 'range';
      readonly items: readonly Item[];
      readonly count: number;
      readonly more: boolean;
    };

export function toOperationResult(outcome: OperationOutcome): OperationResult {
  if (outcome.put) return { kind: 'put', previous: toItemOrNull(outcome.put.previous) };
  if (outcome.delete) {
    const { deleted, previous } = outcome.delete;
    return { kind: 'delete', deleted, previous: previous.map(toItem) };
  }
  const { items = [], count = 0, more = false } = outcome.range ?? {};
  return { kind: 'range', items: items.map(toItem), count, more };
}

/** Whether either branch can change anything. */
export function hasMutation(operations: readonly Operation[]): boolean {
  return operations.some((operation) => !operation.range);
}

export function selection(target: Bytes | KeySelector) {
  return typeof target === 'string' || target instanceof Uint8Array
    ? oneKey(toBytes(target))
    : toRange(target);
}

function condition(key: Bytes, kind: { readonly target: number; readonly relation: number }) {
  return { key: toBytes(key), ...kind, value: Buffer.alloc(0), number: 0 };
}

function numeric(key: Bytes, target: number): CompareBuilder<number> {
  return builder((relation, wanted) => ({ ...condition(key, { target, relation }), number: wanted }));
}

function builder<T>(make: (relation: number, wanted: T) => Compare): CompareBuilder<T> {
  return {
    equals: (wanted) => make(RELATION.EQUAL, wanted),
    notEquals: (wanted) => make(RELATION.NOT_EQUAL, wanted),
    greaterThan: (wanted) => make(RELATION.GREATER, wanted),
    lessThan: (wanted) => make(RELATION.LESS, wanted),
  };
}
