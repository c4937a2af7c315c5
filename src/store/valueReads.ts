import { denied, requireAllowed } from '../access/policy/decision.ts';
import type { Rights } from '../access/policy/rights.ts';
import { present } from '../base/assert.ts';
import { bytesFromKey, keyAfter, keyFromBytes } from '../command/keys.ts';
import type { ValueRead, ValueReadOutcome } from '../proto/audit.ts';
import type { Outcome } from '../proto/storage.ts';
import { live, versionAt } from './keyIndex.ts';
import { outcomeOf } from './outcomes.ts';
import { checkRevision, readRange } from './reads.ts';
import type { Records } from './records.ts';

interface Reading {
  readonly records: Records;
  readonly rights: Rights;
  readonly isAudited: (name: string) => boolean;
}

/**
 * Which audited names each read may deliver, on the state as it is here: whoever asked for it delivers these, from that
 * revision, and no other audited one. Nobody else needs the values, so none is fetched here.
 */
export function applyValueReads(reads: readonly ValueRead[], reading: Reading): Outcome {
  return { read: { reads: reads.map((read) => readOrRefused(read, reading)) }, replayed: false };
}

function readOrRefused(read: ValueRead, reading: Reading): ValueReadOutcome {
  let found: ValueReadOutcome = { revision: 0, names: [] };
  const { failure } = outcomeOf(() => {
    found = namesOf(read, reading);
    return { replayed: false };
  });
  return failure ? { ...found, failure } : found;
}

/** @throws HoldfastError COMPACTED, FUTURE_REVISION, PERMISSION_DENIED */
function namesOf(read: ValueRead, { records, rights, isAudited }: Reading): ValueReadOutcome {
  checkRevision(records, read.revision);
  const revision = read.revision === 0 ? records.revision : read.revision;
  const { start: startBytes, end: endBytes } = present(read.range, 'checked range');
  const [start, end] = [keyFromBytes(startBytes), keyFromBytes(endBytes)];
  // A range of one name is a range: of what may not be read, it is empty.
  if (read.limit === 0 && end === keyAfter(start)) {
    requireAllowed(
      rights.allowsValue(start) ? { allowed: true } : denied('no role allows to read this name', 'key'),
    );
    const entry = records.keys.get(start);
    const version = read.revision === 0 ? live(entry) : versionAt(entry, revision);
    const isThere = read.history ? entry !== undefined : version !== undefined;
    return { revision, names: isThere && isAudited(start) ? [startBytes] : [] };
  }
  const visible = (name: string): boolean => rights.allows('list', name) && rights.allowsValue(name);
  const page = { start, end, limit: read.limit, keysOnly: true, countOnly: false, revision, visible };
  const from = read.from.length === 0 ? start : keyFromBytes(read.from);
  const { items } = readRange(records, { ...page, from, count: 0 });
  const names = items.map(({ key }) => keyFromBytes(key)).filter(isAudited);
  return { revision, names: names.map(bytesFromKey) };
}
