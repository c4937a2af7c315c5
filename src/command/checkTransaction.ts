import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import {
  COMPARE_TARGET,
  type Compare,
  type DeleteOperation,
  type KeyRange,
  type Operation,
  type PutOperation,
  type RangeOperation,
  RELATION,
  type Transaction,
} from '../proto/storage.ts';
import { checkCount, checkKey, checkRange, checkValue, invalid, type Reason, tooLarge } from './checkKeys.ts';
import { inRange, keyFromBytes } from './keys.ts';

const RELATIONS: ReadonlySet<number> = new Set(Object.values(RELATION));
const TARGETS: ReadonlySet<number> = new Set(Object.values(COMPARE_TARGET));

export function checkPut(put: PutOperation, field = ''): Reason {
  return checkKey(put.key, `${field}key`) ?? checkValue(put.value, `${field}value`);
}

export function checkDelete(operation: DeleteOperation, field = ''): Reason {
  return checkRange(operation.range, `${field}range`);
}

/** `limit` 0 asks for the largest page. */
export function checkRangeOperation(operation: RangeOperation, field = ''): Reason {
  const reason = checkRange(operation.range, `${field}range`) ?? checkCount(operation.limit, `${field}limit`);
  if (reason !== null) return reason;
  if (operation.limit <= LIMITS.pageKeysMax) return null;
  return invalid(`${field}limit`, `must be at most ${LIMITS.pageKeysMax}`, 'Ask page by page.');
}

export function checkCompare(compare: Compare, field = ''): Reason {
  if (!RELATIONS.has(compare.relation))
    return invalid(`${field}relation`, 'is not one of the known relations');
  if (!TARGETS.has(compare.target)) return invalid(`${field}target`, 'is not one of the known targets');
  return (
    checkKey(compare.key, `${field}key`) ??
    checkValue(compare.value, `${field}value`) ??
    checkCount(compare.number, `${field}number`)
  );
}

/** Exactly one kind must be set. */
export function checkOperation(operation: Operation, field = ''): Reason {
  const { put, delete: deletion, range } = operation;
  if (Number(!!put) + Number(!!deletion) + Number(!!range) !== 1) {
    return invalid(field === '' ? 'operation' : field.slice(0, -1), 'must be one of put, delete and range');
  }
  if (put) return checkPut(put, `${field}put.`);
  if (deletion) return checkDelete(deletion, `${field}delete.`);
  return range ? checkRangeOperation(range, `${field}range.`) : null;
}

/**
 * The first reason why a transaction is not acceptable: a compare or an operation at fault, more than
 * LIMITS.transactionOperationsMax compares or operations in a branch, more than LIMITS.requestBytesMax in all, or
 * a branch that writes a key twice (two puts of one key, or a put inside a deleted range, in whatever order;
 * deleted ranges may overlap each other).
 */
export function checkTransaction(transaction: Transaction): Reason {
  const { compares, success, failure } = transaction;
  return (
    checkLength(compares, 'compares') ??
    checkLength(success, 'success') ??
    checkLength(failure, 'failure') ??
    firstReason(compares, 'compares', checkCompare) ??
    checkBranch(success, 'success') ??
    checkBranch(failure, 'failure') ??
    checkRequestBytes(transaction)
  );
}

function checkBranch(operations: readonly Operation[], field: string): Reason {
  return firstReason(operations, field, checkOperation) ?? checkWritesOnce(operations, field);
}

function checkLength(list: readonly object[], field: string): Reason {
  const most = LIMITS.transactionOperationsMax;
  if (list.length <= most) return null;
  return new HoldfastError('TOO_LARGE', `${field} has ${list.length} items; the limit is ${most}`, { field });
}

function firstReason<T>(
  list: readonly T[],
  field: string,
  check: (item: T, field: string) => Reason,
): Reason {
  for (const [position, item] of list.entries()) {
    const reason = check(item, '');
    // The path is only spelt out for a refusal: this runs for every write.
    if (reason !== null) return check(item, `${field}[${position}].`);
  }
  return null;
}

function checkWritesOnce(operations: readonly Operation[], field: string): Reason {
  if (operations.length < 2) return null;
  const put = new Set<string>();
  const deleted: KeyRange[] = [];
  for (const [position, operation] of operations.entries()) {
    if (operation.delete?.range) deleted.push(operation.delete.range);
    if (!operation.put) continue;
    const key = keyFromBytes(operation.put.key);
    if (put.has(key)) return writtenTwice(`${field}[${position}].put.key`);
    put.add(key);
  }
  for (const range of deleted) {
    const bounds = { start: keyFromBytes(range.start), end: keyFromBytes(range.end) };
    for (const key of put) if (inRange(key, bounds)) return writtenTwice(field);
  }
  return null;
}

function writtenTwice(field: string): HoldfastError {
  return invalid(field, 'writes a key that the same branch writes already', 'Write a key once in a branch.');
}

/** What a transaction counts against LIMITS.requestBytesMax: all its key and value bytes, and 16 for each part. */
export function transactionBytes({ compares, success, failure }: Transaction): number {
  let bytes = 0;
  for (const compare of compares) bytes += compare.key.length + compare.value.length + 16;
  for (const branch of [success, failure]) for (const operation of branch) bytes += operationBytes(operation);
  return bytes;
}

function operationBytes({ put, delete: deletion, range }: Operation): number {
  if (put) return put.key.length + put.value.length + 16;
  const bounds = deletion?.range ?? range?.range;
  return bounds ? bounds.start.length + bounds.end.length + 16 : 16;
}

function checkRequestBytes(transaction: Transaction): Reason {
  const bytes = transactionBytes(transaction);
  if (bytes <= LIMITS.requestBytesMax) return null;
  return tooLarge('request', { bytes, most: LIMITS.requestBytesMax });
}
