import { LIMITS } from '../base/limits.ts';
import { isOneKey } from '../command/keys.ts';
import type { Command, KeyRange, Operation } from '../proto/storage.ts';

/** Origin, request id and what encodings add to a command, and to each compare or operation in it. */
const COMMAND_OVERHEAD_BYTES = 128;
const OPERATION_OVERHEAD_BYTES = 64;
/** Of an audit record: what it says beside names. */
const NOTE_OVERHEAD_BYTES = 512;
/** The id of a session and the generation of a password. */
const SESSION_BYTES = 32;

/**
 * About as long as a command is inside a batch. Counts everything that a caller can make long, so that many
 * commands never add up to more than a peer message takes.
 */
type Sized = Pick<Command, 'principal' | 'transaction' | 'readValues' | 'noteAudit'>;

export function commandBytes({ principal, transaction, readValues, noteAudit }: Sized): number {
  let bytes = COMMAND_OVERHEAD_BYTES;
  if (principal) bytes += 3 * (principal.name.length + principal.address.length);
  for (const { range, from } of readValues?.reads ?? [])
    bytes += OPERATION_OVERHEAD_BYTES + rangeBytes(range) + from.length;
  for (const { resource, resourceEnd, principal: name, detail } of noteAudit?.records ?? [])
    bytes += NOTE_OVERHEAD_BYTES + resource.length + resourceEnd.length + 3 * (name.length + detail.length);
  if (principal?.session !== undefined) bytes += SESSION_BYTES;
  if (!transaction) return bytes;
  for (const compare of transaction.compares)
    bytes += OPERATION_OVERHEAD_BYTES + compare.key.length + compare.value.length;
  for (const operation of transaction.success) bytes += operationBytes(operation);
  for (const operation of transaction.failure) bytes += operationBytes(operation);
  return bytes;
}

function operationBytes({ put, delete: deletion, range }: Operation): number {
  let bytes = OPERATION_OVERHEAD_BYTES + rangeBytes(deletion?.range) + rangeBytes(range?.range);
  if (put) bytes += put.key.length + put.value.length;
  return bytes;
}

function rangeBytes(range: KeyRange | null | undefined): number {
  return range ? range.start.length + range.end.length : 0;
}

/** Whether a command goes over ranges of keys: evaluating it may take much longer than its length tells. */
export function isWide({ transaction, readValues }: Pick<Command, 'transaction' | 'readValues'>): boolean {
  if (readValues) return readValues.reads.some(({ range }) => range && !isOneKey(range));
  if (!transaction) return false;
  return transaction.success.some(goesOverKeys) || transaction.failure.some(goesOverKeys);
}

function goesOverKeys({ delete: deletion, range }: Operation): boolean {
  const keys = deletion?.range ?? range?.range;
  return keys !== undefined && keys !== null && !isOneKey(keys);
}

/**
 * The most that the answer to a command can hold of keys and values. A command of a few bytes may ask for a page of
 * megabytes, all commands of an entry are answered at once, and every node evaluates them.
 */
export function answerBytesMax({
  transaction,
  readValues,
}: Pick<Command, 'transaction' | 'readValues'>): number {
  if (readValues) return readValues.reads.reduce((sum, { range }) => sum + namesBytesMax(range), 0);
  if (!transaction) return 0;
  const bytes = Math.max(branchBytesMax(transaction.success), branchBytesMax(transaction.failure));
  return Math.min(bytes, LIMITS.pageBytesMax);
}

function branchBytesMax(operations: readonly Operation[]): number {
  let bytes = 0;
  for (const { put, delete: deletion, range } of operations) {
    if (put?.previous) bytes += LIMITS.keyBytesMax + LIMITS.valueBytesMax;
    if (deletion?.previous || (range && !range.countOnly)) bytes += LIMITS.pageBytesMax;
  }
  return bytes;
}

/** Of a read, only names are answered; their values are fetched afterwards. */
function namesBytesMax(range: KeyRange | null | undefined): number {
  return (range && isOneKey(range) ? 1 : LIMITS.pageKeysMax) * LIMITS.keyBytesMax;
}
