import { type FileHandle, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { syncDirectory } from '../../base/durableFile.ts';
import { HoldfastError, systemErrorCode } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { EXPORT_VERSION, type ExportEnd, type ExportHead, hexOf } from '../exportFormat.ts';
import type { ChainHead } from '../record/chain.ts';
import type { FileDestination } from './destination.ts';
import { readFileTail } from './fileTail.ts';
import type { Sink, SinkBatch } from './sink.ts';

export interface FileSinkOptions {
  readonly destination: FileDestination;
  /** From this size on a file is closed and another one begun. */
  readonly rotateBytes: number;
  readonly clusterId: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Brings a file to disk. Tests let it fail. */
  readonly sync?: (handle: FileHandle) => Promise<void>;
}

/** The file that is written to, as far as it is on disk. */
interface OpenFile {
  readonly handle: FileHandle;
  readonly inode: number;
  bytes: number;
  /** 0: the file is empty. */
  firstSequence: number;
  last: ChainHead;
  /** It has its last line, and is to get its name before more is written. */
  readonly complete: boolean;
}

const FILE_MODE = 0o600;
const SEQUENCE_DIGITS = 12;

/**
 * Appends records to a file, in the form of an export, which is complete once the file has been rotated: `holdfast audit verify` reads
 * it. A batch is delivered when it is on disk. Within a file no record is missing and none is there twice.
 */
export class FileSink implements Sink {
  readonly #options: FileSinkOptions;
  #file: OpenFile | null = null;
  #isClosed = false;
  /** What a failed write may have left behind, in which file. */
  #undone: Pick<OpenFile, 'inode' | 'bytes'> | null = null;

  constructor(options: FileSinkOptions) {
    this.#options = options;
  }

  async reached(): Promise<ChainHead | null> {
    const { firstSequence, last } = await this.#attempt(() => this.#opened());
    return firstSequence === 0 ? null : last;
  }

  async deliver(batch: SinkBatch): Promise<void> {
    await this.#attempt(async () => {
      const file = await this.#fileFor(batch);
      await this.#append(file, textOf(batch, { file, ...this.#options }));
      const [first, last] = [batch.records[0], batch.records.at(-1)];
      if (file.firstSequence === 0) file.firstSequence = first?.sequence ?? 0;
      if (last !== undefined) file.last = { sequence: last.sequence, hash: last.hash };
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#release();
  }

  /** The next step opens it again. */
  async #release(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.handle.close().catch(() => undefined);
  }

  /** Runs one step; when it fails, the file is looked at anew before the next one. */
  async #attempt<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (thrown) {
      await this.#release();
      throw thrown instanceof HoldfastError ? thrown : failed(thrown);
    }
  }

  /** The one that these records go into: they follow what it holds, and it has room. */
  async #fileFor({ records, lines }: SinkBatch): Promise<OpenFile> {
    const file = await this.#opened();
    const [first] = records;
    if (file.complete) {
      await this.#moveAway(file.last);
      await this.#release();
      return await this.#opened();
    }
    if (file.firstSequence === 0 || first === undefined) return file;
    const follows = first.sequence === file.last.sequence + 1 && first.previousHash.equals(file.last.hash);
    const bytes = lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
    if (follows && file.bytes + bytes <= this.#options.rotateBytes) return file;
    await this.#rotate(file);
    return await this.#opened();
  }

  /** Whoever moves the file away gets a new one begun. Another file in its place is asked first what it has. */
  async #opened(): Promise<OpenFile> {
    const file = this.#file;
    if (file === null) return await this.#begun();
    const there = await statOrNull(this.#options.destination.path);
    if (there?.ino === file.inode && there.size === file.bytes) return file;
    await this.#release();
    if (there !== null && (there.ino === file.inode || there.size > 0))
      throw new HoldfastError('FILE_UNREADABLE', 'somebody else writes to the file of audit-sink', {
        hint: 'give each node a file of its own, and let nobody else change it',
      });
    return await this.#begun();
  }

  /** Whoever closes the sink meanwhile has not seen the file. */
  async #begun(): Promise<OpenFile> {
    this.#file = await this.#open();
    if (this.#isClosed) throw closed();
    return this.#file;
  }

  async #open(): Promise<OpenFile> {
    const { path } = this.#options.destination;
    const handle = await open(path, 'a+', FILE_MODE);
    try {
      const status = await handle.stat();
      if (!status.isFile()) throw notAFile();
      if (status.size === 0) await syncDirectory(dirname(path));
      const bytes = await this.#withoutUndone(handle, { inode: status.ino, bytes: status.size });
      const { head, last, wholeBytes, complete } = await readFileTail(handle, bytes);
      if (head !== null && head.clusterId !== this.#options.clusterId) throw otherCluster();
      if (wholeBytes < bytes) await this.#cut(handle, { bytes, wholeBytes });
      // What a node that has ended may have left to the system only.
      await this.#sync(handle);
      const firstSequence = head?.firstSequence ?? 0;
      return { handle, inode: status.ino, bytes: wholeBytes, firstSequence, last, complete };
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
  }

  /** A write that failed may be there in part or as a whole, on disk or not. @returns the size */
  async #withoutUndone(
    handle: FileHandle,
    { inode, bytes }: Pick<OpenFile, 'inode' | 'bytes'>,
  ): Promise<number> {
    const undone = this.#undone;
    if (undone !== null && undone.inode === inode && undone.bytes < bytes) {
      await handle.truncate(undone.bytes);
      await this.#sync(handle);
      this.#undone = null;
      return undone.bytes;
    }
    this.#undone = null;
    return bytes;
  }

  async #cut(
    handle: FileHandle,
    { bytes, wholeBytes }: { bytes: number; wholeBytes: number },
  ): Promise<void> {
    this.#options.logger.warn(
      { cutBytes: bytes - wholeBytes },
      'the file of audit-sink ended within a line or batch: that part is cut off and written again',
    );
    await handle.truncate(wholeBytes);
  }

  async #append(file: OpenFile, text: string): Promise<void> {
    const bytes = Buffer.from(text, 'utf8');
    this.#undone = { inode: file.inode, bytes: file.bytes };
    await file.handle.writeFile(bytes);
    await this.#sync(file.handle);
    this.#undone = null;
    file.bytes += bytes.length;
  }

  /** Completes the export, and moves the file to a name that tells its last record. */
  async #rotate(file: OpenFile): Promise<void> {
    const { sequence: lastSequence, hash } = file.last;
    const records = lastSequence - file.firstSequence + 1;
    const end: ExportEnd = { records, lastSequence, lastHash: hexOf(hash) };
    await this.#append(file, `${JSON.stringify(end)}\n`);
    await this.#moveAway(file.last);
    await this.#release();
  }

  async #moveAway({ sequence }: ChainHead): Promise<void> {
    const { path } = this.#options.destination;
    const name = `${path}.${String(sequence).padStart(SEQUENCE_DIGITS, '0')}`;
    let target = name;
    // A file of that name is there when the chain was begun anew: neither is thrown away.
    for (let copy = 2; (await statOrNull(target)) !== null; copy += 1) target = `${name}.${copy}`;
    await rename(path, target);
    await syncDirectory(dirname(path));
  }

  async #sync(handle: FileHandle): Promise<void> {
    await (this.#options.sync?.(handle) ?? handle.sync());
  }
}

/** The lines of a batch, behind the first line of an export where the file has none. */
function textOf(
  { records, lines }: SinkBatch,
  { file, clusterId, clock }: { readonly file: OpenFile; readonly clusterId: string; readonly clock: Clock },
): string {
  const [first] = records;
  const text = `${lines.join('\n')}\n`;
  if (file.firstSequence !== 0 || first === undefined) return text;
  const head: ExportHead = {
    holdfastAudit: EXPORT_VERSION,
    clusterId,
    firstSequence: first.sequence,
    previousHash: hexOf(first.previousHash),
    filtered: false,
    continues: first.sequence > 1,
    exportedAt: new Date(clock.wallMs()).toISOString(),
  };
  return `${JSON.stringify(head)}\n${text}`;
}

async function statOrNull(path: string): Promise<{ readonly ino: number; readonly size: number } | null> {
  try {
    return await stat(path);
  } catch (thrown) {
    if (systemErrorCode(thrown) === 'ENOENT') return null;
    throw thrown;
  }
}

function failed(cause: unknown): HoldfastError {
  const code = systemErrorCode(cause);
  if (code === undefined) throw cause;
  return new HoldfastError('FILE_UNREADABLE', `the file of audit-sink could not be written (${code})`, {
    hint: 'see that its directory is there, has room, and may be written by the user that holdfast runs as',
    cause,
  });
}

function closed(): HoldfastError {
  return new HoldfastError('UNAVAILABLE', 'the audit sink is closed: this node stops');
}

function notAFile(): HoldfastError {
  return new HoldfastError('FILE_UNREADABLE', 'what audit-sink names is not a regular file', {
    hint: 'name another path',
  });
}

function otherCluster(): HoldfastError {
  return new HoldfastError('CLUSTER_MISMATCH', 'the file of audit-sink holds the audit of another cluster', {
    hint: 'move that file away, or name another one',
  });
}
