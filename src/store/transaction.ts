import { present, unreachable } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { bytesField, keyFromBytes } from '../command/keys.ts';
import {
  COMPARE_TARGET,
  type Compare,
  type KeyRange,
  type KeyValue,
  type Operation,
  type OperationOutcome,
  RELATION,
  type Transaction,
  type TransactionOutcome,
} from '../proto/storage.ts';
import { live, type RecordVersion } from './keyIndex.ts';
import { liveVersions, readRange } from './reads.ts';
import type { Records } from './records.ts';

/** A key of a transaction's range as latin-1 bounds. */
function bounds(range: KeyRange | null | undefined): { start: string; end: string } {
  const { start, end } = present(range, 'checked range');
  return { start: keyFromBytes(start), end: keyFromBytes(end) };
}

/** What an operation will do, known before anything is changed. */
type Step =
  | { readonly kind: 'put'; readonly key: string; readonly value: Buffer; readonly previous: boolean }
  | { readonly kind: 'delete'; readonly targets: readonly RecordVersion[]; readonly previous: boolean }
  | { readonly kind: 'range'; readonly operation: NonNullable<Operation['range']> };

/**
 * Evaluates a transaction that has passed checkTransaction and applies the branch that its compares choose: all
 * of it or, when it throws TOO_LARGE, nothing. What the branch changes becomes one new revision, its mutations
 * numbered revision.sub; a branch that changes nothing leaves the revision as it is. Operations see the ones
 * before them.
 */
export function applyTransaction(
  records: Records,
  transaction: Transaction,
  timeMs: number,
): TransactionOutcome {
  const succeeded = transaction.compares.every((compare) => holds(records, compare));
  const branch = succeeded ? transaction.success : transaction.failure;
  const visits = new VisitBudget(records);
  const steps = branch.map((operation) => plan(records, operation, visits));
  const run = new BranchRun(records, { timeMs, bytesLeft: checkSize(records, steps) });
  const operations = steps.map((step) => run.execute(step));
  return { revision: run.finish(), succeeded, operations };
}

function plan(records: Records, { put, delete: deletion, range }: Operation, visits: VisitBudget): Step {
  if (put) {
    const { key, value, previous } = put;
    return { kind: 'put', key: keyFromBytes(key), value: bytesField(value), previous };
  }
  if (deletion) {
    const whole = bounds(deletion.range);
    visits.take(whole);
    return { kind: 'delete', targets: liveVersions(records, whole), previous: deletion.previous };
  }
  const operation = present(range, 'checked operation');
  visits.take(bounds(operation.range));
  return { kind: 'range', operation };
}

/**
 * How many keys the ranges of one transaction may go over. Apply is synchronous on every node, and at every start
 * again: a few bytes that ask for a walk over a million keys must not hold up the cluster.
 */
class VisitBudget {
  readonly #records: Records;
  #left: number = LIMITS.transactionVisitsMax;

  constructor(records: Records) {
    this.#records = records;
  }

  /** @throws HoldfastError TOO_LARGE */
  take(range: { readonly start: string; readonly end: string }): void {
    this.#records.keys.visit(range, () => {
      this.#left -= 1;
      return this.#left >= 0;
    });
    if (this.#left >= 0) return;
    throw new HoldfastError(
      'TOO_LARGE',
      `the ranges of a transaction go over more than ${LIMITS.transactionVisitsMax} keys`,
      { hint: 'Ask for smaller ranges, or list and count outside of a transaction.' },
    );
  }
}

/** Bytes that remain of LIMITS.pageBytesMax for the branch's ranges, once previous values have their share. */
function checkSize(records: Records, steps: readonly Step[]): number {
  let changes = 0;
  let previousBytes = 0;
  for (const step of steps) {
    if (step.kind === 'range') continue;
    const touched = step.kind === 'delete' ? step.targets : [];
    changes += step.kind === 'delete' ? touched.length : 1;
    if (!step.previous) continue;
    if (step.kind === 'put') previousBytes += live(records.keys.get(step.key))?.bytes ?? 0;
    for (const version of touched) previousBytes += version.bytes;
  }
  if (changes > LIMITS.transactionRecordsMax) {
    throw new HoldfastError(
      'TOO_LARGE',
      `more than ${LIMITS.transactionRecordsMax} keys would be changed at once`,
      {
        hint: 'Delete smaller ranges one after the other.',
      },
    );
  }
  if (previousBytes > LIMITS.pageBytesMax) {
    throw new HoldfastError('TOO_LARGE', `the previous values asked for have ${previousBytes} bytes`, {
      field: 'previous',
      hint: 'Ask for fewer previous values at once.',
    });
  }
  return LIMITS.pageBytesMax - previousBytes;
}

class BranchRun {
  readonly #records: Records;
  readonly #timeMs: number;
  readonly #revision: number;
  #bytesLeft: number;
  /** Values that ranges may still give: each may leave a record of the audit. */
  #valuesLeft: number = LIMITS.transactionValuesMax;
  #sub = 0;

  constructor(records: Records, options: { timeMs: number; bytesLeft: number }) {
    this.#records = records;
    this.#timeMs = options.timeMs;
    this.#bytesLeft = options.bytesLeft;
    this.#revision = records.revision + 1;
  }

  execute(step: Step): OperationOutcome {
    switch (step.kind) {
      case 'put':
        return this.#put(step);
      case 'delete':
        return this.#delete(step);
      case 'range':
        return this.#range(step.operation);
      default:
        return unreachable(step, 'transaction step');
    }
  }

  /** The revision that the transaction leaves behind. */
  finish(): number {
    if (this.#sub > 0) this.#records.revision = this.#revision;
    return this.#records.revision;
  }

  #put({ key, value, previous }: Step & { kind: 'put' }): OperationOutcome {
    const before = previous ? live(this.#records.keys.get(key)) : undefined;
    const item = before === undefined ? undefined : this.#records.keyValue(before);
    this.#records.put({ key, value, ...this.#place() });
    return { put: item === undefined ? {} : { previous: item } };
  }

  #delete({ targets, previous }: Step & { kind: 'delete' }): OperationOutcome {
    const items: KeyValue[] = [];
    let deleted = 0;
    for (const target of targets) {
      // A range before this one may have deleted it already.
      if (live(target.entry) !== target) continue;
      if (previous) items.push(this.#records.keyValue(target));
      this.#records.delete({ key: target.entry.key, ...this.#place() });
      deleted += 1;
    }
    return { delete: { deleted, previous: items } };
  }

  #range({ range, limit, keysOnly, countOnly }: NonNullable<Operation['range']>): OperationOutcome {
    const query = { ...bounds(range), limit, keysOnly, countOnly, revision: 0 };
    const keysMax = keysOnly ? LIMITS.pageKeysMax : Math.min(LIMITS.pageKeysMax, this.#valuesLeft);
    const page = { keysMax, bytesMax: Math.max(this.#bytesLeft, 0) };
    const { items, count, next, bytes } = readRange(this.#records, query, page);
    this.#bytesLeft -= bytes;
    if (!keysOnly) this.#valuesLeft -= items.length;
    return { range: { items, count, more: next !== null } };
  }

  #place(): { revision: number; sub: number; timeMs: number } {
    const place = { revision: this.#revision, sub: this.#sub, timeMs: this.#timeMs };
    this.#sub += 1;
    return place;
  }
}

function holds(records: Records, compare: Compare): boolean {
  const version = live(records.keys.get(keyFromBytes(compare.key)));
  switch (compare.target) {
    case COMPARE_TARGET.VALUE:
      // A key that does not exist equals no value, and is neither above nor below one.
      if (version === undefined) return compare.relation === RELATION.NOT_EQUAL;
      return relationHolds(
        compare.relation,
        Buffer.compare(records.value(version), bytesField(compare.value)),
      );
    case COMPARE_TARGET.VERSION:
      return relationHolds(compare.relation, (version?.version ?? 0) - compare.number);
    case COMPARE_TARGET.CREATE_REVISION:
      return relationHolds(compare.relation, (version?.createRevision ?? 0) - compare.number);
    default:
      return relationHolds(compare.relation, (version?.number ?? 0) - compare.number);
  }
}

function relationHolds(relation: number, difference: number): boolean {
  if (relation === RELATION.EQUAL) return difference === 0;
  if (relation === RELATION.NOT_EQUAL) return difference !== 0;
  return relation === RELATION.GREATER ? difference > 0 : difference < 0;
}
