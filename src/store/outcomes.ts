import type { HoldfastError } from '../base/errors.ts';
import { toHoldfastError } from '../base/errors.ts';
import type { OperationOutcome, Outcome } from '../proto/storage.ts';

const NO_PUT: OperationOutcome = { put: {} };

/** Done, nothing to tell. */
export const DONE: Outcome = { done: {}, replayed: false };

/** A refusal as an outcome. */
export function failed({ code, message, field, hint }: HoldfastError): Outcome {
  return { failure: { code, message, field: field ?? '', hint: hint ?? '' }, replayed: false };
}

/** Runs a part of apply that refuses by throwing, before it has changed anything. */
export function outcomeOf(run: () => Outcome): Outcome {
  try {
    return run();
  } catch (thrown) {
    const error = toHoldfastError(thrown);
    // What is wrong with this node is no answer that others would give too.
    if (NODE_FAILURES.has(error.code)) throw thrown;
    return failed(error);
  }
}

const NODE_FAILURES: ReadonlySet<string> = new Set(['INTERNAL', 'DISK_FAILED', 'STATE_CORRUPT']);

/**
 * What is kept of an outcome for a repetition of the request: no values that it read, and of a refusal no sentences.
 * Kept answers count in the digest; a release that words an error better must not part from one that does not.
 */
export function storedForm(outcome: Outcome): Outcome {
  const { transaction, failure } = outcome;
  if (failure) return { failure: { ...failure, message: '', hint: '' }, replayed: false };
  if (!transaction || !transaction.operations.some(readsValues)) return outcome;
  const operations = transaction.operations.map(withoutValues);
  return { transaction: { ...transaction, operations }, replayed: false };
}

function readsValues(operation: OperationOutcome): boolean {
  if (operation.put) return Boolean(operation.put.previous);
  if (operation.delete) return operation.delete.previous.length > 0;
  return operation.range !== undefined && operation.range !== null && operation.range.items.length > 0;
}

function withoutValues({ put, delete: deletion, range }: OperationOutcome): OperationOutcome {
  if (put) return NO_PUT;
  if (deletion) return { delete: { deleted: deletion.deleted, previous: [] } };
  return range ? { range: { items: [], count: range.count, more: range.more } } : {};
}
