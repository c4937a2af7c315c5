/** About how many bytes a call or an answer takes on the wire: exact for keys and values, a guess for the rest. */
import type { Answer, Call } from '../proto/kv.ts';
import type { KeyValue, Operation, OperationOutcome } from '../proto/storage.ts';

const FRAME_GUESS = 64;

export function callBytes(call: Call): number {
  if (call.put) return FRAME_GUESS + call.put.key.length + call.put.value.length;
  if (!call.txn) return FRAME_GUESS;
  let bytes = FRAME_GUESS;
  for (const compare of call.txn.compares) bytes += compare.key.length + compare.value.length;
  for (const operation of call.txn.success) bytes += operationBytes(operation);
  for (const operation of call.txn.failure) bytes += operationBytes(operation);
  return bytes;
}

export function answerBytes(answer: Answer): number {
  if (answer.put) return FRAME_GUESS + itemBytes(answer.put.previous);
  if (answer.get) return FRAME_GUESS + itemBytes(answer.get.item);
  if (answer.range) return FRAME_GUESS + itemsBytes(answer.range.items);
  if (answer.delete) return FRAME_GUESS + itemsBytes(answer.delete.previous);
  if (!answer.txn) return FRAME_GUESS;
  let bytes = FRAME_GUESS;
  for (const outcome of answer.txn.operations) bytes += outcomeBytes(outcome);
  return bytes;
}

function operationBytes(operation: Operation): number {
  return operation.put ? FRAME_GUESS + operation.put.key.length + operation.put.value.length : FRAME_GUESS;
}

function outcomeBytes(outcome: OperationOutcome): number {
  if (outcome.put) return itemBytes(outcome.put.previous);
  if (outcome.delete) return itemsBytes(outcome.delete.previous);
  return outcome.range ? itemsBytes(outcome.range.items) : 0;
}

function itemsBytes(items: readonly KeyValue[]): number {
  let bytes = 0;
  for (const item of items) bytes += itemBytes(item);
  return bytes;
}

function itemBytes(item: KeyValue | null | undefined): number {
  return item ? FRAME_GUESS + item.key.length + item.value.length : 0;
}
