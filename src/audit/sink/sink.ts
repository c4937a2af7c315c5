/** What a destination of audit records does, whichever kind it is of. */
import { LIMITS } from '../../base/limits.ts';
import { exportLine } from '../exportFormat.ts';
import type { ChainedRecord, ChainHead } from '../record/chain.ts';

/** Records that follow one another. */
export interface SinkBatch {
  /** At least one. */
  readonly records: readonly ChainedRecord[];
  /** One for each record, as an export has it, without a line end. */
  readonly lines: readonly string[];
}

/** A destination. One call at a time, but for `close`. */
export interface Sink {
  /**
   * The last record that it holds, where it can tell; null: whoever asks has to know. Asked before the first batch, and again after
   * a failure. @throws HoldfastError
   */
  reached(): Promise<ChainHead | null>;
  /**
   * Resolves when they are where they shall be. After a rejection some of them may be there; the same are to be given again,
   * unless `reached` says otherwise. @throws HoldfastError UNAVAILABLE, FILE_UNREADABLE, CLUSTER_MISMATCH
   */
  deliver(batch: SinkBatch): Promise<void>;
  /** Gives up what is under way. Never rejects. */
  close(): Promise<void>;
}

/** Records in batches of at most LIMITS.auditSinkBatchRecordsMax, and of about LIMITS.auditSinkBatchBytes. */
export function* batchesOf(records: readonly ChainedRecord[]): Generator<SinkBatch> {
  let batch: { records: ChainedRecord[]; lines: string[] } = { records: [], lines: [] };
  let bytes = 0;
  for (const record of records) {
    const line = exportLine(record);
    batch.records.push(record);
    batch.lines.push(line);
    bytes += Buffer.byteLength(line) + 1;
    if (batch.records.length < LIMITS.auditSinkBatchRecordsMax && bytes < LIMITS.auditSinkBatchBytes)
      continue;
    yield batch;
    batch = { records: [], lines: [] };
    bytes = 0;
  }
  if (batch.records.length > 0) yield batch;
}
