import type { ChainedRecord } from '../../../src/audit/record/chain.ts';
import { batchesOf, type SinkBatch } from '../../../src/audit/sink/sink.ts';
import { present } from '../../../src/base/assert.ts';
import { chainOf } from '../../api/fakeAudit.ts';

/** So many records that follow one another, from 1 on. */
export function recordsUpTo(count: number, { bytes = 8 } = {}): readonly ChainedRecord[] {
  return chainOf(...Array.from({ length: count }, () => ({ resource: Buffer.alloc(bytes, 'r') })));
}

/** These records in one batch. */
export function batchOf(records: readonly ChainedRecord[]): SinkBatch {
  return present([...batchesOf(records)][0], 'batch');
}
