import type { LogIndex, Revision, Term } from '../base/ids.ts';
import type { CommandBatch, KeyValue, Member, Outcome, StoredConfiguration } from '../proto/storage.ts';

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
  | { readonly kind: 'nothing'; readonly place: AppliedPlace };

/** What `apply` made of an entry: one outcome a command, in order. */
export interface AppliedOutcomes {
  readonly outcomes: readonly Outcome[];
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
}

export interface RangeResult {
  readonly items: readonly KeyValue[];
  /** Keys of the whole range at that revision. */
  readonly count: number;
  /** The first key of the next page, or null. */
  readonly next: string | null;
}
