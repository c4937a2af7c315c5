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
 * previous one, once however often it was, and each compare with one.
 */
export function auditOfTransaction(
  transaction: Transaction,
  { revision, succeeded, operations }: TransactionOutcome,
  isAudited: (name: string) => boolean,
): readonly Deed[] {
  const detail = succeeded ? 'true' : 'false';
  const deeds: Deed[] = auditOfCompares(transaction, isAudited).map((deed) => ({ ...deed, detail }));
  const revealed = new Set<string>();
  const reveal = (items: readonly KeyValue[]): void => {
    for (const { key, modRevision } of items) {
      const name = keyFromBytes(key);
      if (!isAudited(name)) continue;
      const version = `${modRevision} ${name}`;
      if (revealed.has(version)) continue;
      revealed.add(version);
      deeds.push({ action: readingOf(name), resource: bytesField(key), revision: modRevision });
    }
  };
  for (const [at, operation] of (succeeded ? transaction.success : transaction.failure).entries()) {
    const outcome = present(operations[at], 'outcome of an operation');
    const changed = mutationOf(operation, outcome, revision);
    if (changed !== null) deeds.push(changed);
    reveal(itemsOf(operation, outcome));
  }
  return deeds;
}

/** A deed for each compare with an audited value: to learn what it came to is to learn of the value. */
export function auditOfCompares(
  { compares }: Transaction,
  isAudited: (name: string) => boolean,
): readonly Deed[] {
  return compares
    .filter(({ key, target }) => target === COMPARE_TARGET.VALUE && isAudited(keyFromBytes(key)))
    .map(({ key }) => ({ action: 'kv.compare', resource: bytesField(key) }));
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
