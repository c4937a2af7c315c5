import { assert } from '../base/assert.ts';
import type { Row } from './row.ts';
import { SortedTree } from './sortedTree.ts';

/** One version of one key: a row of table `k`, whose number is its revision. */
export interface RecordVersion extends Row {
  readonly entry: KeyEntry;
  readonly createRevision: number;
  /** Puts since the key was created, this one included; 0 for a deletion. */
  readonly version: number;
  readonly deleted: boolean;
  /** Of key and value. */
  readonly bytes: number;
  readonly timeMs: number;
}

/** A key that has any version. Invariant: from `head` on, `versions` is not empty and ascends by revision. */
export interface KeyEntry {
  readonly key: string;
  versions: (RecordVersion | undefined)[];
  /** How many at the front are dropped already: taking them off one by one would cost the length each time. */
  head: number;
}

const SLACK = 32;

function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The ordered names in memory. Only keys with versions are in it. */
export class KeyIndex {
  readonly #tree = new SortedTree<string, KeyEntry>(undefined, compareKeys);
  /** The same entries: a look-up here costs a fraction of one in the tree. */
  readonly #byKey = new Map<string, KeyEntry>();

  get(key: string): KeyEntry | undefined {
    return this.#byKey.get(key);
  }

  /** The key's entry, made when there is none: give it a version at once. */
  entry(key: string): KeyEntry {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const entry: KeyEntry = { key, versions: [], head: 0 };
    this.#tree.set(key, entry);
    this.#byKey.set(key, entry);
    return entry;
  }

  /** Takes the oldest version away, and the key with its last one. */
  dropOldest(entry: KeyEntry): void {
    entry.versions[entry.head] = undefined;
    entry.head += 1;
    if (entry.head === entry.versions.length) {
      assert(this.#tree.delete(entry.key), 'a key that loses its last version was in the index');
      this.#byKey.delete(entry.key);
    } else if (entry.head >= SLACK && entry.head * 2 >= entry.versions.length) {
      entry.versions = entry.versions.slice(entry.head);
      entry.head = 0;
    }
  }

  /** Entries in [start, end) in order, until `visit` returns false. An empty `end` is no bound. */
  visit(range: { readonly start: string; readonly end: string }, visit: (entry: KeyEntry) => boolean): void {
    const high = range.end === '' ? this.#tree.maxKey() : range.end;
    if (high === undefined) return;
    this.#tree.editRange(range.start, high, range.end === '', (_key, entry) =>
      visit(entry) ? undefined : { break: true },
    );
  }

  get size(): number {
    return this.#tree.size;
  }
}

/** The newest version, deletions included. */
export function newest(entry: KeyEntry | undefined): RecordVersion | undefined {
  return entry?.versions[entry.versions.length - 1];
}

/** The newest version when the key exists now. */
export function live(entry: KeyEntry | undefined): RecordVersion | undefined {
  const version = newest(entry);
  return version === undefined || version.deleted ? undefined : version;
}

/** What the key was at a revision, or undefined when it did not exist then. */
export function versionAt(entry: KeyEntry | undefined, revision: number): RecordVersion | undefined {
  const position = entry === undefined ? -1 : positionAt(entry, revision);
  const version = position < 0 ? undefined : entry?.versions[position];
  return version === undefined || version.deleted ? undefined : version;
}

/** What the key was just before this version, or undefined when it did not exist. */
export function versionBefore(version: RecordVersion): RecordVersion | undefined {
  return versionAt(version.entry, version.number - 1);
}

/** The position of the newest version at or below a revision, or -1. */
export function positionAt({ versions, head }: KeyEntry, revision: number): number {
  let low = head;
  let high = versions.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((versions[middle]?.number ?? Number.POSITIVE_INFINITY) <= revision) low = middle + 1;
    else high = middle;
  }
  return low === head ? -1 : low - 1;
}
