import { dirname } from 'node:path';
import { assert } from '../../base/assert.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { LogIndex, StoreId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import { type Scheduler, systemScheduler } from '../../base/scheduler.ts';
import type { SnapshotMetadata } from '../raft/types.ts';
import { batchBytes } from './codec.ts';
import { type CommitItem, GroupCommit } from './groupCommit.ts';
import { EMPTY_STAND, LogShape, type LogStand, type RecordedBatch } from './logShape.ts';
import { isSegmentSize, segmentSequences } from './segment.ts';
import { realSegmentFiles, type SegmentFiles } from './segmentFiles.ts';
import type { FoundLog } from './segmentReader.ts';
import { SegmentWriter, type SegmentWriterOptions } from './segmentWriter.ts';
import { type OpenedLog, openLog } from './suspicion.ts';
import { TailWatermark } from './tailWatermark.ts';
import type { ChainEnd, WalBatch, WalContents, WriteAheadLog } from './types.ts';
import { type VerifiedLog, verifyLog } from './verification.ts';
import type { Watermark } from './watermark.ts';
import { WatermarkFile } from './watermarkFile.ts';

export interface DiskWalOptions {
  /** The folder of the segments and their watermark, and of nothing else. */
  readonly directory: string;
  /** Whose log this is; a log of another store is refused. */
  readonly storeId: StoreId;
  /** Default LIMITS.walSegmentBytes; at least 4 KiB. A larger record gets a larger segment. */
  readonly segmentBytes?: number;
  readonly clock?: Clock;
  /** Default: the event loop's own. */
  readonly scheduler?: Scheduler;
  readonly files?: SegmentFiles;
}

/** What a log that holds nothing is opened with: a joiner's. */
export const EMPTY_WAL_CONTENTS: WalContents = {
  hardState: EMPTY_STAND.hardState,
  snapshot: EMPTY_STAND.base,
  entries: [],
};

interface Write extends CommitItem {
  readonly batch: RecordedBatch;
  readonly after: LogStand;
  /** The batch changes term or vote. */
  readonly promises: boolean;
}

interface Parts {
  readonly writer: SegmentWriter;
  readonly watermark: WatermarkFile;
  readonly shape: LogShape<ChainEnd>;
  readonly suspectUntil: ChainEnd | null;
}

/**
 * The write-ahead log in segment files. Each record holds whole batches and is made durable by one
 * write, so that after a crash the log holds a batch entirely or not at all.
 *
 * Beside it lies a watermark that names the last record but one, or the last: what is named and not there has been
 * lost. Invariant 43: it never names bytes that are not durable. No acknowledgement of entries waits for it, so the loss of exactly
 * the last record, in the moment before that is named, looks like a torn write. Term and vote are promises that a node
 * must not forget whatever happens to its log: a batch that changes them is durable only once it is named.
 */
export class DiskWal implements WriteAheadLog {
  readonly #surroundings: Surroundings;
  readonly #commit: GroupCommit<Write>;
  readonly #writer: SegmentWriter;
  readonly #watermark: TailWatermark;
  /** Everything handed over, durable or not. */
  readonly #shape: LogShape<ChainEnd>;
  /** Where the log on disk stands. */
  #durable: LogStand;
  #durableRecord: number;
  #suspectUntil: ChainEnd | null;
  #removal: Promise<void> = Promise.resolve();

  private constructor(parts: Parts, surroundings: Surroundings) {
    const { clock, scheduler } = surroundings;
    this.#surroundings = surroundings;
    const { writer, shape, watermark, suspectUntil } = parts;
    this.#writer = writer;
    this.#shape = shape;
    this.#durable = shape.stand;
    this.#durableRecord = writer.record;
    this.#suspectUntil = suspectUntil;
    this.#commit = new GroupCommit({
      write: (group) => this.#write(group),
      groupBytesMax: LIMITS.walBatchBytesMax,
      clock,
    });
    this.#watermark = new TailWatermark({
      file: watermark,
      clock,
      scheduler,
      isLogBusy: () => this.#commit.busy,
      onFailed: (thrown) => void this.#commit.fail(thrown),
    });
  }

  /**
   * Makes a new log in `directory`, which is created when missing; it appears whole or not at all.
   * @param contents what it begins with; EMPTY_WAL_CONTENTS for a joiner
   * @throws HoldfastError DATA_DIR_INVALID when there is a log already, DISK_FAILED
   */
  static async create(options: DiskWalOptions, contents: WalContents): Promise<DiskWal> {
    const surroundings = withDefaults(options);
    const { writing } = surroundings;
    const { hardState, snapshot, entries } = contents;
    const start: LogStand = {
      last: chainEnd(snapshot),
      hardState: { ...hardState, commit: Math.min(hardState.commit, snapshot.index) },
      base: snapshot,
    };
    const first: RecordedBatch = { hardState, snapshot: null, entries, base: null };
    const shape = new LogShape(start, chainEnd);
    accept(shape, first);
    return diskSteps(async () => {
      await makeEmptyDirectory(writing);
      const { hardState: startState, last } = start;
      const named = { record: 0, hardState: startState, last, suspectUntil: null, firstSegment: 1 };
      const watermark = await WatermarkFile.create(writing, named);
      const writer = await SegmentWriter.create(writing, start, entries.length === 0 ? null : first);
      const wal = new DiskWal({ writer, watermark, shape, suspectUntil: null }, surroundings);
      await wal.#name();
      return wal;
    });
  }

  /**
   * Opens and verifies the log. A torn last record is cut, and what was read made durable, before this returns. A log
   * that has lost something else is SUSPECT: see `WalContents.suspicion`; what is unsound of it is kept aside in files
   * named `*.damaged`.
   * @throws HoldfastError DATA_DIR_INVALID (no log, or of another store), LOG_CORRUPT naming segment and offset when
   *   not even term and vote are sure (nothing is changed), VERSION_UNSUPPORTED, DISK_FAILED
   */
  static async open(options: DiskWalOptions): Promise<{ wal: DiskWal; contents: WalContents }> {
    const surroundings = withDefaults(options);
    const { writing } = surroundings;
    return diskSteps(async () => {
      const opened = await openLog(writing);
      const { log, hardState, suspicion, watermark } = opened;
      const writer = await SegmentWriter.open(writing, log);
      const parts = { writer, watermark, shape: chainOf(log), suspectUntil: suspicion?.until ?? null };
      const wal = new DiskWal(parts, surroundings);
      await wal.#begin(opened);
      await wal.#removeUnneeded();
      const { base, kept } = log.shape;
      return { wal, contents: { hardState, snapshot: base, entries: [...kept], suspicion } };
    });
  }

  append(batch: WalBatch): Promise<void> {
    const { hardState, snapshot, entries } = batch;
    return this.#record({ hardState, snapshot, entries, base: null });
  }

  async release(metadata: SnapshotMetadata): Promise<void> {
    if (metadata.index > this.#shape.base.index) {
      const { hardState } = this.#shape;
      const commit = Math.max(hardState.commit, metadata.index);
      await this.#record({
        hardState: { ...hardState, commit },
        snapshot: null,
        entries: [],
        base: metadata,
      });
    }
    await this.#removeUnneeded();
  }

  async roll(): Promise<void> {
    await this.#commit.step(async () => {
      await this.#writer.roll(this.#durable);
      this.#watermark.note(this.#tail);
    });
    await this.#removeUnneeded();
  }

  async suspect(until: ChainEnd | null): Promise<void> {
    await this.#commit.step(async () => {
      this.#suspectUntil = until === null ? null : chainEnd(until);
      await this.#name();
    });
  }

  /**
   * Reads everything that is durable again and verifies it, while the log is in use.
   * @param pace called with the bytes of each segment before they are looked at; false ends the pass
   * @throws HoldfastError DISK_FAILED (unreadable), DATA_DIR_INVALID, VERSION_UNSUPPORTED
   */
  verify(pace: (bytes: number) => Promise<boolean>): Promise<VerifiedLog> {
    const { writing, scheduler } = this.#surroundings;
    return verifyLog(writing, { durable: () => this.#writer.durablePart, pace, scheduler });
  }

  firstIndex(): LogIndex {
    return this.#shape.base.index + 1;
  }

  lastIndex(): LogIndex {
    return this.#shape.last.index;
  }

  pendingWriteMs(): number {
    return Math.max(this.#commit.pendingWriteMs(), this.#watermark.pendingWriteMs());
  }

  failure(): HoldfastError | null {
    return this.#commit.failure;
  }

  async close(): Promise<void> {
    await this.#commit.close();
    await this.#removal;
    await diskSteps(async () => {
      await this.#watermark.close({ inOrder: this.#commit.failure === null });
      await this.#writer.close();
    });
  }

  /** Puts into log and watermark what was decided when the log was opened. */
  async #begin({ hardState, cut }: OpenedLog): Promise<void> {
    const { term, vote } = this.#shape.hardState;
    if (hardState.term !== term || hardState.vote !== vote) {
      await this.#record({ hardState, snapshot: null, entries: [], base: null });
    }
    if (cut) return await this.#name();
    // Also what it names already: the slot that was read need not be on the disk (provenTail.ts).
    this.#watermark.note(this.#tail);
    await this.#watermark.settled();
    if (this.#commit.failure !== null) throw this.#commit.failure;
  }

  get #tail(): Watermark {
    const { hardState, last } = this.#durable;
    const firstSegment = this.#writer.segments[0]?.sequence ?? 0;
    const [record, suspectUntil] = [this.#durableRecord, this.#suspectUntil];
    return { record, hardState, last: chainEnd(last), suspectUntil, firstSegment };
  }

  /** The watermark stands at the end of the log, in all its slots, when this resolves. */
  async #name(): Promise<void> {
    await this.#watermark.writeAll(this.#tail);
    if (this.#commit.failure !== null) throw this.#commit.failure;
  }

  #record(batch: RecordedBatch): Promise<void> {
    const refusal = this.#commit.refusal();
    if (refusal !== null) return Promise.reject(refusal);
    const { term, vote } = this.#shape.hardState;
    accept(this.#shape, batch);
    const after = this.#shape.stand;
    const promises = after.hardState.term !== term || after.hardState.vote !== vote;
    return this.#commit.commit({ batch, bytes: batchBytes(batch), after, promises });
  }

  async #write(group: readonly Write[]): Promise<void> {
    const segmentsBefore = this.#writer.segments.length;
    const batches = group.map(({ batch }) => batch);
    await this.#writer.write(batches, this.#durable);
    this.#durable = group.at(-1)?.after ?? this.#durable;
    this.#durableRecord = this.#writer.record;
    this.#watermark.note(this.#tail);
    if (group.some(({ promises }) => promises)) await this.#watermark.settled();
    const rolled = this.#writer.segments.length > segmentsBefore;
    if (rolled || batches.some(({ snapshot }) => snapshot !== null)) this.#startRemoval();
  }

  async #removeUnneeded(): Promise<void> {
    this.#startRemoval();
    await this.#removal;
    if (this.#commit.failure !== null) throw this.#commit.failure;
  }

  /** Beside the writes: unlinking a large file takes longer than many of them. */
  #startRemoval(): void {
    this.#removal = this.#removal
      .then(() => this.#remove())
      .catch((thrown: unknown) => void this.#commit.fail(thrown));
  }

  async #remove(): Promise<void> {
    if (this.#commit.failure !== null || !this.#writer.leaveOut(this.#durable.base)) return;
    this.#watermark.note(this.#tail);
    await this.#watermark.settled();
    if (this.#commit.failure === null) await this.#writer.removeLeftOver();
  }
}

const chainEnd = ({ index, term, hash }: ChainEnd): ChainEnd => ({ index, term, hash });

function accept(shape: LogShape<ChainEnd>, batch: RecordedBatch): void {
  const problem = shape.problem(batch);
  assert(problem === null, `write-ahead log: ${problem}`);
  shape.apply(batch);
}

/** The same log without the payloads, which the caller now has. */
function chainOf({ shape }: FoundLog): LogShape<ChainEnd> {
  const { floor, base, hardState, kept } = shape;
  const start = { last: floor, base, hardState: { ...hardState, commit: 0, vote: null } };
  const chain = new LogShape(start, chainEnd);
  chain.apply({ hardState, snapshot: null, entries: kept, base: null });
  return chain;
}

interface Surroundings {
  readonly writing: SegmentWriterOptions;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

function withDefaults(options: DiskWalOptions): Surroundings {
  const { directory, storeId, segmentBytes = LIMITS.walSegmentBytes } = options;
  const { files = realSegmentFiles, clock = systemClock, scheduler = systemScheduler } = options;
  assert(isSegmentSize(segmentBytes), 'the segment size is within its limits');
  return { writing: { directory, storeId, segmentBytes, files }, clock, scheduler };
}

async function makeEmptyDirectory({ directory, files }: SegmentWriterOptions): Promise<void> {
  await files.makeDirectory(directory);
  await files.syncDirectory(dirname(directory));
  if (segmentSequences(await files.list(directory)).length === 0) return;
  throw new HoldfastError('DATA_DIR_INVALID', `${directory} holds a write-ahead log already`, {
    hint: 'choose an empty data directory, or start the node that this one belongs to',
  });
}

async function diskSteps<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    if (thrown instanceof HoldfastError) throw thrown;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new HoldfastError('DISK_FAILED', `the write-ahead log cannot be written: ${reason}`, {
      hint: 'check the disk, its free space, and the owner of the data directory',
      cause: thrown,
    });
  }
}
