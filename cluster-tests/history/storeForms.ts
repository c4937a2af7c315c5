/** Between the lines of a history and what the client library takes and gives. Keys and values are UTF-8 text. */
import { unreachable } from '../../src/base/assert.ts';
import {
  compare,
  del,
  get,
  type Item,
  type OperationResult,
  put,
  range,
  type Transaction,
  type TransactionResult,
  type WatchEvent,
} from '../../src/client/index.ts';
import type { KeyEvent, Seen, StepAnswer, TxnAnswer, TxnCompare, TxnRequest, TxnStep } from './types.ts';

export function seen(item: Item): Seen {
  return {
    key: item.key.toString('utf8'),
    value: item.value.toString('utf8'),
    version: item.version,
    mod: item.modRevision,
    create: item.createRevision,
  };
}

export function keyEvent(event: WatchEvent, options: { readonly previous: boolean }): KeyEvent {
  const change = { type: event.type, ...seen(event.item) };
  if (!options.previous) return change;
  return { ...change, previous: event.previous === null ? null : seen(event.previous) };
}

export function toStoreTransaction(request: TxnRequest): Transaction {
  return {
    compares: request.compares.map(toCompare),
    success: request.success.map(toOperation),
    failure: request.failure.map(toOperation),
  };
}

export function toTxnAnswer(request: TxnRequest, answer: TransactionResult): TxnAnswer {
  const branch = answer.succeeded ? request.success : request.failure;
  return {
    succeeded: answer.succeeded,
    results: branch.map((step, i) => toStepAnswer(step, answer.operations[i])),
  };
}

const RELATIONS = { '=': 'equals', '!=': 'notEquals', '>': 'greaterThan', '<': 'lessThan' } as const;

function toCompare(condition: TxnCompare) {
  const relation = RELATIONS[condition.relation];
  const { key, target, wanted } = condition;
  switch (target) {
    case 'value':
      return compare.value(key)[relation](wanted);
    case 'version':
      return compare.version(key)[relation](wanted);
    case 'mod':
      return compare.modRevision(key)[relation](wanted);
    case 'create':
      return compare.createRevision(key)[relation](wanted);
    default:
      return unreachable(target, 'compare target');
  }
}

function toOperation(step: TxnStep) {
  switch (step.op) {
    case 'put':
      return put(step.key, step.value);
    case 'delete':
      return del(step.key);
    case 'get':
      return get(step.key);
    case 'range':
      return range({ prefix: step.prefix });
    default:
      return unreachable(step, 'transaction step');
  }
}

function toStepAnswer(step: TxnStep, result: OperationResult | undefined): StepAnswer {
  if (step.op === 'put') return { op: 'put' };
  if (step.op === 'delete') return { op: 'delete', deleted: result?.kind === 'delete' && result.deleted > 0 };
  if (result?.kind !== 'range' || result.items.length < result.count) return { op: 'withheld' };
  if (step.op === 'range') return { op: 'range', items: result.items.map(seen) };
  const [item] = result.items;
  return { op: 'get', item: item === undefined ? null : seen(item) };
}
