/** What a file of audit records holds, as far as whoever goes on with it has to know: its first line and its last ones. */
import type { FileHandle } from 'node:fs/promises';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { exportedRecord } from '../exportedRecord.ts';
import { EXPORT_VERSION, type ExportHead } from '../exportFormat.ts';
import { type ChainHead, recordHash } from '../record/chain.ts';

export interface FileTail {
  /** Null: the file holds nothing that is whole. */
  readonly head: Pick<ExportHead, 'clusterId' | 'firstSequence'> | null;
  /** The last record that is whole; before the first one, what the head says. */
  readonly last: ChainHead;
  /** Up to the end of the last line that is whole: what comes after it was being written when the node ended. */
  readonly wholeBytes: number;
  /** The last line is that of an export that is complete. */
  readonly complete: boolean;
}

/** What can be unfinished is one batch, which ends with the line that makes it full, and a last line. */
const TAIL_BYTES = 2 * LIMITS.auditSinkBatchBytes + 2 * LIMITS.auditLineBytesMax;
const HEAD_START = '{"holdfastAudit":';
const LINE_END = 0x0a;
const EMPTY = { head: null, last: { sequence: 0, hash: Buffer.alloc(0) }, wholeBytes: 0, complete: false };

/**
 * @throws HoldfastError FILE_UNREADABLE: it is something else than audit records; AUDIT_TAMPERED: somebody else has written to it. Both are
 * to be left alone. Or the system error
 */
export async function readFileTail(handle: FileHandle, sizeBytes: number): Promise<FileTail> {
  if (sizeBytes === 0) return EMPTY;
  const start = await readAt(handle, 0, Math.min(sizeBytes, LIMITS.auditLineBytesMax));
  const headEnd = start.indexOf(LINE_END) + 1;
  if (headEnd === 0) return unfinishedHead(start);
  const head = headOf(start.toString('utf8', 0, headEnd - 1));
  if (head === null) throw foreign('does not begin as one');
  const from = Math.max(headEnd, sizeBytes - TAIL_BYTES);
  const tail = await readAt(handle, from, sizeBytes - from);
  // Within the file the first line of the tail is but the end of one.
  const skipped = from === headEnd ? 0 : tail.indexOf(LINE_END) + 1;
  const before = { sequence: head.firstSequence - 1, hash: Buffer.from(head.previousHash, 'hex') };
  const walked = walk(tail.subarray(skipped), from === headEnd ? before : null);
  if (walked.last === null) throw foreign('does not end as one');
  return { head, ...walked, last: walked.last, wholeBytes: from + skipped + walked.wholeBytes };
}

interface Walked {
  readonly last: ChainHead | null;
  readonly wholeBytes: number;
  readonly complete: boolean;
}

/** Over the lines that follow one another. @param before the record before the first; null: not known */
function walk(tail: Buffer, before: ChainHead | null): Walked {
  let [last, wholeBytes] = [before, 0];
  for (let end = tail.indexOf(LINE_END); end !== -1; end = tail.indexOf(LINE_END, wholeBytes)) {
    const text = tail.subarray(wholeBytes, end);
    // What a write that ended early has left out within a file is zeros. All else that is whole was written by somebody.
    if (text.includes(0)) break;
    const line = fieldsOf(text.toString('utf8'));
    if (line === null) throw changed('a line of it is no record');
    wholeBytes = end + 1;
    if (last === null || line['records'] === undefined) {
      last = following(line, last);
      continue;
    }
    const isEnd = line['lastSequence'] === last.sequence && line['lastHash'] === last.hash.toString('hex');
    if (!isEnd || wholeBytes !== tail.length) throw changed('it does not end with its last line');
    return { last, wholeBytes, complete: true };
  }
  return { last, wholeBytes, complete: false };
}

/** The record that a line holds. @throws HoldfastError AUDIT_TAMPERED: it is none, was changed, or is not the next one */
function following(line: Record<string, unknown>, last: ChainHead | null): ChainHead {
  const record = exportedRecord(line);
  if (record === null) throw changed('a line of it is no record');
  const { sequence, hash, previousHash } = record;
  if (last !== null && (sequence !== last.sequence + 1 || !previousHash.equals(last.hash)))
    throw changed(`record ${sequence} does not follow the one before it`);
  if (!recordHash(record, record).equals(hash)) throw changed(`record ${sequence} is another one`);
  return { sequence, hash };
}

/** The very first write to a file may have come to its middle. */
function unfinishedHead(start: Buffer): FileTail {
  const text = start.toString('utf8');
  const isOurs =
    start.every((byte) => byte === 0) || text.startsWith(HEAD_START) || HEAD_START.startsWith(text);
  if (!isOurs) throw foreign('does not begin as one');
  return EMPTY;
}

function headOf(text: string): Pick<ExportHead, 'clusterId' | 'firstSequence' | 'previousHash'> | null {
  const { holdfastAudit, clusterId, firstSequence, previousHash } = fieldsOf(text) ?? {};
  const isHead =
    holdfastAudit === EXPORT_VERSION &&
    typeof clusterId === 'string' &&
    typeof firstSequence === 'number' &&
    typeof previousHash === 'string';
  return isHead ? { clusterId, firstSequence, previousHash } : null;
}

function fieldsOf(text: string): Record<string, unknown> | null {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : null;
  } catch {
    // Not whole, and so nothing.
    return null;
  }
}

async function readAt(handle: FileHandle, position: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  let filled = 0;
  while (filled < bytes) {
    const { bytesRead } = await handle.read(buffer, filled, bytes - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

function foreign(what: string): HoldfastError {
  return new HoldfastError('FILE_UNREADABLE', `the file of audit-sink holds no audit records: it ${what}`, {
    hint: 'move that file away, or name another one; holdfast leaves it as it is',
  });
}

function changed(how: string): HoldfastError {
  return new HoldfastError('AUDIT_TAMPERED', `somebody else has written to the file of audit-sink: ${how}`, {
    hint: 'move that file away to look into it; a new one is begun, and goes on with the next record',
  });
}
