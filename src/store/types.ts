import type { HoldfastError } from '../base/errors.ts';
import type { LogIndex, Revision, Term } from '../base/ids.ts';
import type { WatchEvent } from '../proto/kv.ts';
import type {
  CommandBatch,
  KeyringStep,
  KeyValue,
  Member,
  Outcome,
  StoredConfiguration,
} from '../proto/storage.ts';

/** How far the log has been applied. */
export interface AppliedPlace {
  readonly index: LogIndex;
  readonly term: Term;
  /** The log's chain hash at `index`, 32 bytes. */
  readonly hash: Uint8Array;
}

/** One committed log entry, opened. Every index is applied, also those with nothing for the store. */
export type AppliedEntry =
  | { readonly kind: 'commands'; readonly place: AppliedPlace; readonly batch: CommandBatch }
  | {
      readonly kind: 'configuration';
      readonly place: AppliedPlace;
      readonly configuration: StoredConfiguration;
      /** Members of the old configuration that are in none now: their ids never come back. */
      readonly removed: readonly string[];
      readonly member: Member | null;
      readonly timeMs: number;
    }
  /** A keyring, which is in force only where `AppliedOutcomes.accepted` says so. */
  | { readonly kind: 'keyring'; readonly place: AppliedPlace; readonly step: KeyringStep }
  | { readonly kind: 'nothing'; readonly place: AppliedPlace };

/** What `apply` made of an entry: one outcome a command, in order. */
export interface AppliedOutcomes {
  readonly outcomes: readonly Outcome[];
  /** Of a keyring: whether the change that it belongs to has come so far, here and so on every node. */
  readonly accepted: boolean;
}

export interface RangeQuery {
  /** Bytes as a latin-1 string: string order is byte order. */
  readonly start: string;
  /** Exclusive; empty: no upper bound. */
  readonly end: string;
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** 0: the newest. */
  readonly revision: Revision;
  /** Keys that are not visible are as if they were not there. Absent: all are. */
  readonly visible?: ((key: string) => boolean) | null;
  /** From a page token: the key where this page begins; `start` stays the start of the whole range. */
  readonly from?: string;
  /** From a page token: the keys of the whole range, which are then not counted again. */
  readonly count?: number;
  /** The page ends before this name, be there one or not. Absent: it goes on to the end of the range. */
  readonly until?: string;
  /** Names that are gone over, seen or not, before the page ends. Absent: all of the range. */
  readonly visitsMax?: number;
}

export interface RangeResult {
  readonly items: readonly KeyValue[];
  /** Keys of the whole range at that revision. */
  readonly count: number;
  /** The first key of the next page, or null. */
  readonly next: string | null;
  /** Names that were gone over for it, seen or not. */
  readonly visited: number;
}

export interface HistoryQuery {
  readonly key: string;
  /** 0: the largest page. */
  readonly limit: number;
  readonly keysOnly: boolean;
}

export interface HistoryVersion {
  readonly item: KeyValue;
  readonly deleted: boolean;
  readonly timeMs: number;
}

export interface HistoryResult {
  /** Newest first. */
  readonly versions: readonly HistoryVersion[];
  readonly revision: Revision;
  /** Below it nothing is kept. */
  readonly compactedRevision: Revision;
}

export interface WatchQuery {
  readonly start: string;
  /** Exclusive; empty: no upper bound. */
  readonly end: string;
  /** The first revision to be told; 0: from now on. May lie ahead of this node. */
  readonly startRevision: Revision;
  readonly previous: boolean;
  readonly progress: boolean;
  /**
   * Asked when something is written and again when it is told, once for all of it: of other keys than these nothing is told, and
   * they take no room. Null, or absent: all are.
   */
  readonly visible?: () => ((key: string) => boolean) | null;
  /** Asked when something is told: of these keys no value is. Absent: of all. */
  readonly withheld?: (key: string) => boolean;
}

/** Where a watch delivers. One call is one or more whole revisions, in order. */
export interface WatchSink {
  /** While true nothing is delivered, as after a `deliver` that returned false. Absent: never. */
  readonly isFull?: () => boolean;
  /** Returns false when the receiver is full: nothing more comes until `resume` of the handle is called. */
  deliver(batch: { readonly revision: Revision; readonly events: readonly WatchEvent[] }): boolean;
  /** The last call: the watch is over. `resumeRevision` 0: it cannot be resumed. */
  cancelled(error: HoldfastError, resumeRevision: Revision): void;
}

export interface WatchHandle {
  /** The revision after which events are delivered. */
  readonly startedAfterRevision: Revision;
  resume(): void;
  close(): void;
}

/** Numbers for status and metrics. */
export interface StoreSize {
  readonly liveKeys: number;
  readonly liveBytes: number;
  /** Of superseded versions and deletions. */
  readonly historyBytes: number;
  /** Versions above the compaction point, and below it those still to be taken away. */
  readonly historyRecords: number;
  readonly clients: number;
  readonly tokens: number;
  readonly watches: number;
}
