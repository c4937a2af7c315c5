import { present } from '../../base/assert.ts';
import { replaceSegment } from './segmentCopy.ts';
import { type FoundLog, type LogSource, readSegmentBytes } from './segmentReader.ts';
import type { Watermark } from './watermark.ts';

/**
 * Makes durable what was read. What can be read need not be on the disk: after a write that failed, or that a kill came
 * before the sync of, the system may give back bytes that the next loss of power takes away. What the watermark names is
 * durable, and so is what lies before the newest segment; the rest is written again. Into a copy that replaces the
 * segment: it may have been acknowledged, and a write that is torn in its own place would take it away.
 * @param named null: nothing is known to be durable
 */
export async function proveTail(
  source: LogSource,
  log: FoundLog,
  named: Watermark | null,
): Promise<FoundLog> {
  await source.files.syncDirectory(source.directory);
  if (named !== null && named.record >= log.nextRecord - 1) return log;
  const { end, lastSegmentBytes } = log;
  const { sequence } = present(log.segments.at(-1), 'the newest segment');
  const bytes = (await readSegmentBytes(source, sequence)).subarray(0, end);
  await replaceSegment(source, { sequence, bytes, sizeMin: lastSegmentBytes });
  return { ...log, lastSegmentBytes: Math.max(lastSegmentBytes, source.segmentBytes), preallocated: true };
}
