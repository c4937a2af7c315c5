import { isSecretName } from '../access/policy/secretNames.ts';
import { NO_RANGE_END } from '../audit/record/rangeEnd.ts';
import { present } from '../base/assert.ts';
import { bytesField, keyAfter, keyFromBytes } from '../command/keys.ts';
import {
  COMPARE_TARGET,
  type KeyRange,
  type KeyValue,
  type Operation,
  type OperationOutcome,
  type Transaction,
  type TransactionOutcome,
} from '../proto/storage.ts';
import type { Deed } from './auditOfCommand.ts';

/**
 * A deed for each name that was put, each deletion that deleted something, each audited value that was handed out, as a value or a
 * previous one, and each compare with one.
 */
export function auditOfTransaction(
  { compares, success, failure }: Transaction,
  { revision, succeeded, operations }: TransactionOutcome,
  isAudited: (name: string) => boolean,
): readonly Deed[] {
  const deeds: Deed[] = [];
  const reveal = (items: readonly KeyValue[]): void => {
    for (const { key, modRevision } of items) {
      const name = keyFromBytes(key);
      if (isAudited(name))
        deeds.push({ action: readingOf(name), resource: bytesField(key), revision: modRevision });
    }
  };
  for (const { key, target } of compares) {
    if (target !== COMPARE_TARGET.VALUE || !isAudited(keyFromBytes(key))) continue;
    deeds.push({ action: 'kv.compare', resource: bytesField(key), detail: succeeded ? 'true' : 'false' });
  }
  for (const [at, operation] of (succeeded ? success : failure).entries()) {
    const outcome = present(operations[at], 'outcome of an operation');
    const changed = mutationOf(operation, outcome, revision);
    if (changed !== null) deeds.push(changed);
    reveal(itemsOf(operation, outcome));
  }
  return deeds;
}

/** What it is called to read the value of an audited name. */
export function readingOf(name: string): 'kv.reveal' | 'kv.read' {
  return isSecretName(name) ? 'kv.reveal' : 'kv.read';
}

function mutationOf(
  { put, delete: deletion }: Operation,
  outcome: OperationOutcome,
  revision: number,
): Deed | null {
  if (put) return { action: 'kv.put', resource: bytesField(put.key), revision };
  const deleted = outcome.delete?.deleted ?? 0;
  if (!deletion || deleted === 0) return null;
  return { action: 'kv.delete', ...resourceOf(deletion.range), revision, count: deleted };
}

/** Those whose values were handed out. */
function itemsOf({ range }: Operation, outcome: OperationOutcome): readonly KeyValue[] {
  if (outcome.put) return outcome.put.previous ? [outcome.put.previous] : [];
  if (outcome.delete) return outcome.delete.previous;
  return !range || range.keysOnly ? [] : (outcome.range?.items ?? []);
}

/** A range of one name is that name. */
export function resourceOf(range: KeyRange | null | undefined): Pick<Deed, 'resource' | 'resourceEnd'> {
  const start = bytesField(present(range, 'checked range').start);
  const end = bytesField(present(range, 'checked range').end);
  if (end.toString('latin1') === keyAfter(start.toString('latin1'))) return { resource: start };
  return { resource: start, resourceEnd: end.length === 0 ? NO_RANGE_END : end };
}
