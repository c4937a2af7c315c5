import { denied, requireAllowed } from '../access/policy/decision.ts';
import type { Rights } from '../access/policy/rights.ts';
import { present } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import { bytesFromKey, isOneKey, keyFromBytes } from '../command/keys.ts';
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

/** Apply is synchronous on every node: a few bytes that ask for a walk over a million names must not hold up the cluster. */
interface BoundedReading extends Reading {
  readonly visits: { left: number };
}

/** As whoever asked will read it: what of it does not fit is not recorded as read. */
const PAGE = { keysMax: LIMITS.pageKeysMax, bytesMax: LIMITS.pageBytesMax, countsAllValues: true };
const NO_NAME = Buffer.alloc(0);

/**
 * Which audited names each read may deliver, on the state as it is here: whoever asked for it delivers these, from that
 * revision, and no other audited one. Nobody else needs the values, so none is fetched here.
 */
export function applyValueReads(reads: readonly ValueRead[], reading: Reading): Outcome {
  const bounded = { ...reading, visits: { left: LIMITS.valueReadVisitsMax } };
  return {
    read: { reads: reads.map((read) => readOrRefused(read, bounded)) },
    replayed: false,
  };
}

function readOrRefused(read: ValueRead, reading: BoundedReading): ValueReadOutcome {
  let found: ValueReadOutcome = { revision: 0, names: [], next: NO_NAME };
  const { failure } = outcomeOf(() => {
    found = namesOf(read, reading);
    return { replayed: false };
  });
  return failure ? { ...found, failure } : found;
}

/** @throws HoldfastError COMPACTED, FUTURE_REVISION, PERMISSION_DENIED */
function namesOf(read: ValueRead, reading: BoundedReading): ValueReadOutcome {
  const { records, rights, isAudited, visits } = reading;
  checkRevision(records, read.revision);
  const revision = read.revision === 0 ? records.revision : read.revision;
  const range = present(read.range, 'checked range');
  const { start: startBytes } = range;
  const start = keyFromBytes(startBytes);
  // A range of one name is a range: of what may not be read, it is empty.
  if (read.limit === 0 && isOneKey(range)) {
    requireAllowed(
      rights.allowsValue(start) ? { allowed: true } : denied('no role allows to read this name', 'key'),
    );
    const entry = records.keys.get(start);
    const version = read.revision === 0 ? live(entry) : versionAt(entry, revision);
    const isThere = read.history ? entry !== undefined : version !== undefined;
    return { revision, names: isThere && isAudited(start) ? [startBytes] : [], next: NO_NAME };
  }
  const visible = (name: string): boolean => rights.allows('list', name) && rights.allowsValue(name);
  const query = {
    start,
    end: keyFromBytes(range.end),
    limit: read.limit,
    keysOnly: true,
    countOnly: false,
    revision,
    visible,
  };
  const from = read.from.length === 0 ? start : keyFromBytes(read.from);
  const { items, next, visited } = readRange(
    records,
    { ...query, from, count: 0, visitsMax: visits.left },
    PAGE,
  );
  visits.left -= visited;
  const names = items.map(({ key }) => keyFromBytes(key)).filter(isAudited);
  return { revision, names: names.map(bytesFromKey), next: next === null ? NO_NAME : bytesFromKey(next) };
}
