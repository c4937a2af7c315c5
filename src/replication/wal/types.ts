import type { LogIndex } from '../../base/ids.ts';
import type { Entry, HardState, PersistBatch, SnapshotMetadata } from '../raft/types.ts';

/** What a write-ahead log holds when it is opened. */
export interface WalContents {
  readonly hardState: HardState;
  /** Where the log begins: index 0, term 0 and 32 zero bytes for a log that was never compacted. */
  readonly snapshot: SnapshotMetadata;
  /** Contiguous from snapshot.index + 1; chain verified. */
  readonly entries: readonly Entry[];
}

/**
 * The log on disk, or its in-memory twin for tests (one conformance suite runs on both).
 * One write is in flight at a time; batches given meanwhile are merged into the next write.
 */
export interface WriteAheadLog {
  /** Resolves when everything in the batch is durable. Rejects only with DISK_FAILED; the process must then stop. */
  append(batch: Pick<PersistBatch, 'hardState' | 'snapshot' | 'entries'>): Promise<void>;
  /**
   * Entries up to `metadata.index` are no longer needed (they are below the durable applied index and the
   * trailing window). Removes whole segments; the log then begins at or below `metadata`.
   */
  release(metadata: SnapshotMetadata): Promise<void>;
  /** Index of the first entry still on disk, or lastIndex + 1. */
  firstIndex(): LogIndex;
  /** Milliseconds that the write in flight has waited, 0 when none; for the disk watchdog. */
  pendingWriteMs(): number;
  close(): Promise<void>;
}
