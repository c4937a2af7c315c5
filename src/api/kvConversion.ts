/** Requests of the Kv service as transactions of the store, and its outcomes as responses. */
import { present } from '../base/assert.ts';
import { errorOfFields } from '../base/errors.ts';
import type {
  DeleteRequest,
  DeleteResponse,
  PutRequest,
  PutResponse,
  TxnRequest,
  TxnResponse,
} from '../proto/kv.ts';
import type { Outcome, RequestId, Transaction, TransactionOutcome } from '../proto/storage.ts';

export interface TransactionCommand {
  readonly request: RequestId | null;
  readonly transaction: Transaction;
}

export function putCommand(request: PutRequest): TransactionCommand {
  const put = { key: request.key, value: request.value, previous: request.previous };
  return {
    request: request.request ?? null,
    transaction: { compares: [], success: [{ put }], failure: [] },
  };
}

export function deleteCommand(request: DeleteRequest): TransactionCommand {
  const removal = { range: request.range, previous: request.previous };
  return {
    request: request.request ?? null,
    transaction: { compares: [], success: [{ delete: removal }], failure: [] },
  };
}

export function transactionCommand(request: TxnRequest): TransactionCommand {
  const { compares, success, failure } = request;
  return { request: request.request ?? null, transaction: { compares, success, failure } };
}

/** @throws HoldfastError the failure that the outcome holds */
export function putResponse(outcome: Outcome): PutResponse {
  const done = transactionOutcome(outcome);
  const put = present(done.operations[0]?.put, 'outcome of a put');
  return { revision: done.revision, previous: put.previous, replayed: outcome.replayed };
}

/** @throws HoldfastError the failure that the outcome holds */
export function deleteResponse(outcome: Outcome): DeleteResponse {
  const done = transactionOutcome(outcome);
  const removal = present(done.operations[0]?.delete, 'outcome of a delete');
  return {
    revision: done.revision,
    deleted: removal.deleted,
    previous: removal.previous,
    replayed: outcome.replayed,
  };
}

/** @throws HoldfastError the failure that the outcome holds */
export function transactionResponse(outcome: Outcome): TxnResponse {
  const { revision, succeeded, operations } = transactionOutcome(outcome);
  return { revision, succeeded, operations, replayed: outcome.replayed };
}

function transactionOutcome(outcome: Outcome): TransactionOutcome {
  if (outcome.failure) throw errorOfFields(outcome.failure);
  return present(outcome.transaction, 'outcome of a transaction');
}
