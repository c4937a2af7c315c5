import { keyFromBytes } from '../../command/keys.ts';
import {
  COMPARE_TARGET,
  type Compare,
  type KeyRange,
  type Operation,
  type Transaction,
} from '../../proto/storage.ts';
import { ALLOWED, type Decision, denied } from './decision.ts';
import type { NameRange } from './nameRange.ts';
import type { Rights } from './rights.ts';

/**
 * Both branches must be allowed, whichever is taken: else the answer would tell what the compares saw. A range must be
 * allowed as a whole.
 */
export function decideTransaction(rights: Rights, transaction: Transaction): Decision {
  for (const [at, compare] of transaction.compares.entries()) {
    const reason = missingForCompare(rights, compare);
    if (reason !== null) return denied(reason, `compares[${at}].key`);
  }
  for (const branch of ['success', 'failure'] as const) {
    for (const [at, operation] of transaction[branch].entries()) {
      const reason = missingForOperation(rights, operation);
      if (reason !== null) return denied(reason, `${branch}[${at}]`);
    }
  }
  return ALLOWED;
}

/** What a compare says of a value is as good as the value. */
function missingForCompare(rights: Rights, { key, target }: Compare): string | null {
  const name = keyFromBytes(key);
  if (target === COMPARE_TARGET.VALUE) return rights.allowsValue(name) ? null : VALUE;
  return rights.allows('list', name) ? null : LIST;
}

function missingForOperation(rights: Rights, { put, delete: deletion, range }: Operation): string | null {
  if (put) {
    const name = keyFromBytes(put.key);
    if (!rights.allows('write', name)) return WRITE;
    return put.previous && !rights.allowsValue(name) ? VALUE : null;
  }
  if (deletion) {
    const names = namesOf(deletion.range);
    if (!rights.allowsAll('delete', names)) return DELETE;
    return deletion.previous && !rights.allowsValues(names) ? VALUE : null;
  }
  const names = namesOf(range?.range);
  if (!rights.allowsAll('list', names)) return LIST;
  const isValue = range !== null && range !== undefined && !range.keysOnly && !range.countOnly;
  return isValue && !rights.allowsValues(names) ? VALUE : null;
}

function namesOf(range: KeyRange | null | undefined): NameRange {
  if (!range) return { start: '', end: '' };
  return { start: keyFromBytes(range.start), end: keyFromBytes(range.end) };
}

const LIST = 'no role allows to list all that is named';
const WRITE = 'no role allows to write this name';
const DELETE = 'no role allows to delete all that is named';
/** Not only for secret names: `reveal` there, `read` elsewhere. */
const VALUE = 'no role allows to read all that is named';
