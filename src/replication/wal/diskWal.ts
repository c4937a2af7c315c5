import { dirname } from 'node:path';
import { assert } from '../../base/assert.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { LogIndex, StoreId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Entry, SnapshotMetadata } from '../raft/types.ts';
import { batchBytes } from './codec.ts';
import { type CommitItem, GroupCommit } from './groupCommit.ts';
import { EMPTY_STAND, LogShape, type LogStand, type RecordedBatch } from './logShape.ts';
import { isSegmentSize, segmentSequences } from './segment.ts';
import { realSegmentFiles, type SegmentFiles } from './segmentFiles.ts';
import { type FoundLog, readSegments } from './segmentReader.ts';
import { SegmentWriter, type SegmentWriterOptions } from './segmentWriter.ts';
import type { ChainEnd, WalBatch, WalContents, WriteAheadLog } from './types.ts';

export interface DiskWalOptions {
  /** The folder of the segments, and of nothing else. */
  readonly directory: string;
  /** Whose log this is; a log of another store is refused. */
  readonly storeId: StoreId;
  /** Default LIMITS.walSegmentBytes; at least 4 KiB. A larger record gets a larger segment. */
  readonly segmentBytes?: number;
  readonly clock?: Clock;
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
}

/**
 * The write-ahead log in segment files. Each record holds whole batches and is made durable by one
 * write, so that after a crash the log holds a batch entirely or not at all.
 */
export class DiskWal implements WriteAheadLog {
  readonly #commit: GroupCommit<Write>;
  readonly #writer: SegmentWriter;
  /** Everything handed over, durable or not. */
  readonly #shape: LogShape<ChainEnd>;
  /** Where the log on disk stands. */
  #durable: LogStand;
  #removal: Promise<void> = Promise.resolve();

  private constructor(writer: SegmentWriter, shape: LogShape<ChainEnd>, clock: Clock) {
    this.#writer = writer;
    this.#shape = shape;
    this.#durable = shape.stand;
    this.#commit = new GroupCommit({
      write: (group) => this.#write(group),
      groupBytesMax: LIMITS.walBatchBytesMax,
      clock,
    });
  }

  /**
   * Makes a new log in `directory`, which is created when missing; it appears whole or not at all.
   * @param contents what it begins with; EMPTY_WAL_CONTENTS for a joiner
   * @throws HoldfastError DATA_DIR_INVALID when there is a log already, DISK_FAILED
   */
  static async create(options: DiskWalOptions, contents: WalContents): Promise<DiskWal> {
    const { writing, clock } = withDefaults(options);
    const { hardState, snapshot, entries } = contents;
    const start: LogStand = {
      last: snapshot,
      hardState: { ...hardState, commit: Math.min(hardState.commit, snapshot.index) },
      base: snapshot,
    };
    const first: RecordedBatch = { hardState, snapshot: null, entries, base: null };
    const shape = new LogShape(start, chainEnd);
    accept(shape, first);
    return diskSteps(async () => {
      await makeEmptyDirectory(writing);
      const writer = await SegmentWriter.create(writing, start, entries.length === 0 ? null : first);
      return new DiskWal(writer, shape, clock);
    });
  }

  /**
   * Opens and verifies the log. A torn last record is cut, durably, before this returns; nothing else is changed.
   * @throws HoldfastError DATA_DIR_INVALID (no log, or of another store), LOG_CORRUPT naming segment and offset
   *   (nothing is changed), VERSION_UNSUPPORTED, DISK_FAILED
   */
  static async open(options: DiskWalOptions): Promise<{ wal: DiskWal; contents: WalContents }> {
    const { writing, clock } = withDefaults(options);
    const found = await readSegments(writing);
    const wal = await diskSteps(async () => {
      const writer = await SegmentWriter.open(writing, found);
      await writer.removeUnneeded(found.shape.base);
      return new DiskWal(writer, chainOf(found), clock);
    });
    const { hardState, base, kept } = found.shape;
    return { wal, contents: { hardState, snapshot: base, entries: [...kept] } };
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
    await this.#commit.step(() => this.#writer.roll(this.#durable));
    await this.#removeUnneeded();
  }

  firstIndex(): LogIndex {
    return this.#shape.base.index + 1;
  }

  lastIndex(): LogIndex {
    return this.#shape.last.index;
  }

  pendingWriteMs(): number {
    return this.#commit.pendingWriteMs();
  }

  async close(): Promise<void> {
    await this.#commit.close();
    await this.#removal;
    await diskSteps(() => this.#writer.close());
  }

  #record(batch: RecordedBatch): Promise<void> {
    const refusal = this.#commit.refusal();
    if (refusal !== null) return Promise.reject(refusal);
    accept(this.#shape, batch);
    return this.#commit.commit({ batch, bytes: batchBytes(batch), after: this.#shape.stand });
  }

  async #write(group: readonly Write[]): Promise<void> {
    const segmentsBefore = this.#writer.segments.length;
    const batches = group.map(({ batch }) => batch);
    await this.#writer.write(batches, this.#durable);
    this.#durable = group.at(-1)?.after ?? this.#durable;
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
      .then(() =>
        this.#commit.failure === null ? this.#writer.removeUnneeded(this.#durable.base) : undefined,
      )
      .catch((thrown: unknown) => void this.#commit.fail(thrown));
  }
}

const chainEnd = ({ index, term, hash }: Entry): ChainEnd => ({ index, term, hash });

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

function withDefaults(options: DiskWalOptions): { writing: SegmentWriterOptions; clock: Clock } {
  const { directory, storeId, segmentBytes = LIMITS.walSegmentBytes } = options;
  assert(isSegmentSize(segmentBytes), 'the segment size is within its limits');
  const files = options.files ?? realSegmentFiles;
  return { writing: { directory, storeId, segmentBytes, files }, clock: options.clock ?? systemClock };
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
