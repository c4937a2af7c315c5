import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { KeyValue } from '../proto/storage.ts';
import { type KeyEntry, live, positionAt, type RecordVersion, versionAt } from './keyIndex.ts';
import type { Records } from './records.ts';
import type { HistoryQuery, HistoryResult, HistoryVersion, RangeQuery, RangeResult } from './types.ts';

/** @throws HoldfastError COMPACTED, FUTURE_REVISION. 0 is the newest. */
export function checkRevision(records: Records, revision: number): void {
  if (revision === 0) return;
  if (revision > records.revision) {
    throw new HoldfastError(
      'FUTURE_REVISION',
      `revision ${revision} does not exist yet; this node is at ${records.revision}`,
      { field: 'revision' },
    );
  }
  if (revision < records.compactedRevision) throw compacted(records, revision);
}

export function compacted({ compactedRevision }: Records, revision: number): HoldfastError {
  return new HoldfastError(
    'COMPACTED',
    `revision ${revision} is no longer kept; history begins after revision ${compactedRevision}`,
    { field: 'revision', hint: 'Read the newest revision and go on from there.' },
  );
}

/** One key at a revision (0: the newest), or null when it did not exist. @throws as checkRevision */
export function readKey(
  records: Records,
  { key, revision }: { key: string; revision: number },
): KeyValue | null {
  checkRevision(records, revision);
  const entry = records.keys.get(key);
  const version = revision === 0 ? live(entry) : versionAt(entry, revision);
  return version === undefined ? null : records.keyValue(version);
}

/** What `readKey` would give, bytes of key and value. @throws as checkRevision */
export function keyBytes(records: Records, { key, revision }: { key: string; revision: number }): number {
  checkRevision(records, revision);
  const entry = records.keys.get(key);
  return (revision === 0 ? live(entry) : versionAt(entry, revision))?.bytes ?? 0;
}

export interface Page {
  readonly keysMax: number;
  /** Of keys and values. */
  readonly bytesMax: number;
  /** Values that are not asked for take their bytes of it too, as if they were. */
  readonly countsAllValues?: boolean;
}

/** The items of a page, and the bytes that they take of it. */
export interface PageResult extends RangeResult {
  readonly bytes: number;
}

/** A page as callers see it. @throws as checkRevision */
export function readPage(records: Records, query: RangeQuery): RangeResult {
  const { items, count, next, visited } = readRange(records, query);
  return { items, count, next, visited };
}

/** One page of a range. @throws as checkRevision */
export function readRange(records: Records, query: RangeQuery, page?: Page): PageResult {
  checkRevision(records, query.revision);
  const scan = new PageScan(
    records,
    query,
    page ?? { keysMax: LIMITS.pageKeysMax, bytesMax: LIMITS.pageBytesMax },
  );
  const start = query.count === undefined ? query.start : (query.from ?? query.start);
  records.keys.visit({ start, end: query.end }, (entry) => scan.visit(entry));
  return scan.result();
}

class PageScan {
  readonly #records: Records;
  readonly #query: RangeQuery;
  readonly #from: string;
  readonly #keysMax: number;
  readonly #bytesMax: number;
  readonly #countsValues: boolean;
  readonly #items: KeyValue[] = [];
  #bytes = 0;
  #counted = 0;
  #visited = 0;
  #next: string | null = null;

  constructor(records: Records, query: RangeQuery, page: Page) {
    this.#records = records;
    this.#query = query;
    this.#from = query.from ?? query.start;
    this.#keysMax = query.limit === 0 ? page.keysMax : Math.min(query.limit, page.keysMax);
    this.#bytesMax = page.bytesMax;
    this.#countsValues = page.countsAllValues === true || !query.keysOnly;
  }

  /** Whether to go on. */
  visit(entry: KeyEntry): boolean {
    const { revision, countOnly, count, visitsMax } = this.#query;
    if (visitsMax !== undefined && this.#visited >= visitsMax) {
      this.#next ??= entry.key;
      return false;
    }
    this.#visited += 1;
    const version = revision === 0 ? live(entry) : versionAt(entry, revision);
    if (version === undefined || this.#query.visible?.(entry.key) === false) return true;
    this.#counted += 1;
    if (countOnly || this.#next !== null || entry.key < this.#from) return true;
    if (this.#fits(version)) this.#take(version);
    else this.#next = entry.key;
    return this.#next === null || count === undefined;
  }

  result(): PageResult {
    const count = this.#query.count ?? this.#counted;
    return { items: this.#items, count, next: this.#next, visited: this.#visited, bytes: this.#bytes };
  }

  #fits(version: RecordVersion): boolean {
    const { until } = this.#query;
    if (until !== undefined && version.entry.key >= until) return false;
    return this.#items.length < this.#keysMax && this.#bytes + this.#cost(version) <= this.#bytesMax;
  }

  #take(version: RecordVersion): void {
    this.#bytes += this.#cost(version);
    this.#items.push(this.#records.keyValue(version, this.#query));
  }

  #cost(version: RecordVersion): number {
    return this.#countsValues ? version.bytes : version.entry.key.length;
  }
}

/** The kept versions of a key, newest first. */
export function readHistory(records: Records, query: HistoryQuery): HistoryResult {
  const { revision, compactedRevision } = records;
  const most = query.limit === 0 ? LIMITS.pageKeysMax : Math.min(query.limit, LIMITS.pageKeysMax);
  const versions: HistoryVersion[] = [];
  let bytes = 0;
  for (const version of keptVersions(records.keys.get(query.key), compactedRevision)) {
    bytes += query.keysOnly ? query.key.length : version.bytes;
    if (versions.length >= most || (versions.length > 0 && bytes > LIMITS.pageBytesMax)) break;
    const { deleted, timeMs } = version;
    versions.push({ item: records.keyValue(version, query), deleted, timeMs });
  }
  return { versions, revision, compactedRevision };
}

/** What compaction has still to take away is not shown. */
function* keptVersions(entry: KeyEntry | undefined, compactedRevision: number): Iterable<RecordVersion> {
  if (entry === undefined) return;
  const base = positionAt(entry, compactedRevision);
  for (let position = entry.versions.length - 1; position >= entry.head; position -= 1) {
    const version = entry.versions[position];
    if (version === undefined || position < base) return;
    if (position === base && version.deleted) return;
    yield version;
  }
}

/** Live keys of a range, in order. */
export function liveVersions(
  records: Records,
  range: { start: string; end: string },
): readonly RecordVersion[] {
  const found: RecordVersion[] = [];
  records.keys.visit(range, (entry) => {
    const version = live(entry);
    if (version !== undefined) found.push(version);
    return found.length <= LIMITS.transactionRecordsMax;
  });
  return found;
}
