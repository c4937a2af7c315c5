import { assert } from '../../base/assert.ts';
import { type Clock, systemClock } from '../../base/clock.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { LogIndex } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Entry, SnapshotMetadata } from '../raft/types.ts';
import { batchBytes } from './codec.ts';
import { type CommitItem, GroupCommit } from './groupCommit.ts';
import { LogShape, type RecordedBatch } from './logShape.ts';
import type { ChainEnd, Suspicion, WalBatch, WalContents, WriteAheadLog } from './types.ts';

/** One write on its way to the durable state; the hook that is given it decides when, and whether, it gets there. */
export interface MemoryWrite {
  /** Entries and other batches that this one write makes durable. */
  readonly batches: readonly WalBatch[];
  /** The write becomes durable now. */
  complete(): void;
  /** The disk refuses it; the log fails for good. */
  fail(cause: Error): void;
}

export interface MemoryWalOptions {
  readonly clock?: Clock;
  /** Called for each write; default: it completes at once. Only one is outstanding at a time. */
  readonly onWrite?: (write: MemoryWrite) => void;
}

/**
 * What survives a crash. `crash()` forgets every write that was not completed, and makes the log that was open on it
 * deaf: later completions of its writes change nothing.
 */
export class MemoryWalDisk {
  #shape: LogShape<Entry> | null = null;
  #generation = 0;
  /** The mark of a suspect log. Tests set it, as damage would. */
  suspicion: Suspicion | null = null;

  /** Power is cut. */
  crash(): void {
    this.#generation += 1;
  }

  /** The durable log, or null before the first `create`. */
  get shape(): LogShape<Entry> | null {
    return this.#shape;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Puts a new log in place. @throws HoldfastError DATA_DIR_INVALID when there is one */
  begin(contents: WalContents): void {
    if (this.#shape !== null)
      throw new HoldfastError('DATA_DIR_INVALID', 'there is a write-ahead log already');
    this.#shape = shapeOf(contents);
  }
}

interface Write extends CommitItem {
  readonly batch: RecordedBatch;
}

/** The in-memory twin of the log on disk: the same checks, group commit and failures. */
export class MemoryWal implements WriteAheadLog {
  readonly #commit: GroupCommit<Write>;
  readonly #disk: MemoryWalDisk;
  readonly #durable: LogShape<Entry>;
  /** Everything handed over, durable or not. */
  readonly #shape: LogShape<Entry>;

  private constructor(disk: MemoryWalDisk, durable: LogShape<Entry>, options: MemoryWalOptions) {
    const { onWrite = completeAtOnce, clock = systemClock } = options;
    const { generation } = disk;
    this.#disk = disk;
    this.#durable = durable;
    this.#shape = shapeOf(contentsOf(durable));
    const write = (group: readonly Write[]): Promise<void> =>
      new Promise((resolve, reject) => {
        const complete = (): void => {
          if (disk.generation !== generation) return;
          for (const { batch } of group) durable.apply(batch);
          resolve();
        };
        onWrite({ batches: group.map(({ batch }) => batch), complete, fail: reject });
      });
    this.#commit = new GroupCommit({ write, groupBytesMax: LIMITS.walBatchBytesMax, clock });
  }

  /** @throws HoldfastError DATA_DIR_INVALID when the disk holds a log already */
  static create(disk: MemoryWalDisk, contents: WalContents, options: MemoryWalOptions = {}): MemoryWal {
    disk.begin(contents);
    return MemoryWal.open(disk, options).wal;
  }

  /** @throws HoldfastError DATA_DIR_INVALID when the disk holds no log */
  static open(
    disk: MemoryWalDisk,
    options: MemoryWalOptions = {},
  ): { wal: MemoryWal; contents: WalContents } {
    const durable = disk.shape;
    if (durable === null) throw new HoldfastError('DATA_DIR_INVALID', 'the write-ahead log is missing');
    const contents = { ...contentsOf(durable), suspicion: disk.suspicion };
    return { wal: new MemoryWal(disk, durable, options), contents };
  }

  append({ hardState, snapshot, entries }: WalBatch): Promise<void> {
    return this.#record({ hardState, snapshot, entries, base: null });
  }

  async release(metadata: SnapshotMetadata): Promise<void> {
    if (metadata.index <= this.#shape.base.index) return;
    const { hardState } = this.#shape;
    const commit = Math.max(hardState.commit, metadata.index);
    await this.#record({ hardState: { ...hardState, commit }, snapshot: null, entries: [], base: metadata });
  }

  roll(): Promise<void> {
    return this.#commit.step(() => Promise.resolve());
  }

  suspect(until: ChainEnd | null): Promise<void> {
    return this.#commit.step(() => {
      this.#disk.suspicion = until === null ? null : { until, reason: 'it was marked' };
      return Promise.resolve();
    });
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

  failure(): HoldfastError | null {
    return this.#commit.failure;
  }

  close(): Promise<void> {
    return this.#commit.close();
  }

  /** What would be found after a crash now. */
  durableContents(): WalContents {
    return contentsOf(this.#durable);
  }

  #record(batch: RecordedBatch): Promise<void> {
    const refusal = this.#commit.refusal();
    if (refusal !== null) return Promise.reject(refusal);
    const problem = this.#shape.problem(batch);
    assert(problem === null, `write-ahead log: ${problem}`);
    this.#shape.apply(batch);
    return this.#commit.commit({ batch, bytes: batchBytes(batch) });
  }
}

function completeAtOnce(write: MemoryWrite): void {
  write.complete();
}

function contentsOf({ hardState, base, kept }: LogShape<Entry>): WalContents {
  return { hardState, snapshot: base, entries: [...kept] };
}

function shapeOf({ hardState, snapshot, entries }: WalContents): LogShape<Entry> {
  const start = { term: 0, vote: null, commit: 0 };
  const shape = new LogShape<Entry>({ last: snapshot, hardState: start, base: snapshot }, (entry) => entry);
  const batch: RecordedBatch = { hardState, snapshot: null, entries, base: null };
  const problem = shape.problem(batch);
  assert(problem === null, `write-ahead log: ${problem}`);
  shape.apply(batch);
  return shape;
}
