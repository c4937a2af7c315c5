import type { HoldfastError } from '../../base/errors.ts';
import type { LogIndex } from '../../base/ids.ts';
import type { Entry, HardState, PersistBatch, Place, SnapshotMetadata } from '../raft/types.ts';

/** The part of a PersistBatch that becomes durable. */
export type WalBatch = Pick<PersistBatch, 'hardState' | 'snapshot' | 'entries'>;

/** The end of a hash chain: a place and the hash of the entry there. */
export interface ChainEnd extends Place {
  /** 32 bytes; all zero at index 0. */
  readonly hash: Uint8Array;
}

/** A log that has lost something it once held. */
export interface Suspicion {
  /** The furthest place that it may have held, in the latest term. */
  readonly until: ChainEnd;
  /** What was found, where, and what became of it; for people. */
  readonly reason: string;
}

/** What a write-ahead log holds when it is opened. */
export interface WalContents {
  readonly hardState: HardState;
  /** Where the log begins: index 0, term 0 and 32 zero bytes for a log that was never compacted. */
  readonly snapshot: SnapshotMetadata;
  /** Contiguous from snapshot.index + 1; chain verified. */
  readonly entries: readonly Entry[];
  /**
   * Set while the log is SUSPECT: `entries` are the sound part of what it held. Its node must not be counted on until
   * a leader has replicated everything anew (raft/suspicion.ts). Default: null.
   */
  readonly suspicion?: Suspicion | null;
}

/**
 * The log on disk, or its in-memory twin for tests (one conformance suite runs on both).
 * One write is in flight at a time; batches given meanwhile are merged into the next write.
 */
export interface WriteAheadLog {
  /**
   * Resolves when everything in the batch is durable. Rejects only with DISK_FAILED; the process must then stop.
   * After `close` it rejects with UNAVAILABLE.
   */
  append(batch: WalBatch): Promise<void>;
  /**
   * Entries up to `metadata.index` are no longer needed (they are below the durable applied index and the
   * trailing window). Records `metadata` as the base of the log, then removes whole segments below it; a log
   * opened later begins right after `metadata`. A base at or below the present one changes nothing.
   */
  release(metadata: SnapshotMetadata): Promise<void>;
  /** Begins a new segment: a release up to the last index then leaves no byte of any earlier entry on the disk. */
  roll(): Promise<void>;
  /**
   * Marks the log as suspect up to a place, or trusts it again (null), durably. A suspect log stays so when it is
   * opened anew.
   */
  suspect(until: ChainEnd | null): Promise<void>;
  /** Index of the first entry that the log would give back if it were opened now, or lastIndex + 1. */
  firstIndex(): LogIndex;
  /** Index of the last entry handed to `append`, durable or not yet. */
  lastIndex(): LogIndex;
  /** Milliseconds that the write in flight has waited, 0 when none; for the disk watchdog. */
  pendingWriteMs(): number;
  /** The error that the log has failed with for good, or null. It may fail while nobody waits for a write. */
  failure(): HoldfastError | null;
  /** Waits for everything that was appended, then lets go of the files. */
  close(): Promise<void>;
}
