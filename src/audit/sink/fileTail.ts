/** What a file of audit records holds, as far as whoever goes on with it has to know: its first line and its last ones. */
import type { FileHandle } from 'node:fs/promises';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { EXPORT_VERSION, type ExportHead } from '../exportFormat.ts';
import type { ChainHead } from '../record/chain.ts';

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

/** @throws HoldfastError FILE_UNREADABLE: it is something else than audit records, and is to be left alone; or the system error */
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
    const line = fieldsOf(tail.toString('utf8', wholeBytes, end));
    if (line === null) break;
    if (last !== null && line['records'] !== undefined) {
      if (line['lastSequence'] !== last.sequence || line['lastHash'] !== last.hash.toString('hex')) break;
      return { last, wholeBytes: end + 1, complete: true };
    }
    const { sequence, hash, previousHash } = line;
    if (typeof sequence !== 'number' || typeof hash !== 'string') break;
    if (last !== null && (sequence !== last.sequence + 1 || previousHash !== last.hash.toString('hex')))
      break;
    last = { sequence, hash: Buffer.from(hash, 'hex') };
    wholeBytes = end + 1;
  }
  return { last, wholeBytes, complete: false };
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
