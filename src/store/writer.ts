import { assert, present } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { polled, type Scheduler } from '../base/scheduler.ts';
import { type HeadRow, headRowCodec } from '../proto/storage.ts';
import { type Database, type DatabaseBatch, runningFailure } from './database.ts';
import { HurriedWait } from './hurriedWait.ts';
import { encodeRow, ROW_KEY_BYTES, type Row, type RowPlace, rowKey } from './row.ts';
import type { RowSealer } from './rowSealer.ts';

/** What one entry changes on disk, and how far the state is with it. */
export interface EntryChanges {
  readonly puts: readonly Row[];
  readonly deletes: readonly Row[];
  readonly head: HeadRow;
  /** Of the puts' plaintext. */
  readonly bytes: number;
}

/** A row that lies on disk, as it shall lie there. */
export interface RewrittenRow {
  readonly key: Buffer;
  readonly envelope: Buffer;
}

export interface WriterOptions {
  readonly database: Database;
  readonly sealer: RowSealer;
  readonly scheduler: Scheduler;
  /** The head that is on disk now. */
  readonly head: HeadRow;
  /** A row's plaintext is on disk, and no longer the writer's. */
  readonly onWritten: (row: Row) => void;
  /** Everything up to this head is on disk. */
  readonly onDurable: (head: HeadRow) => void;
  /** Called once; afterwards nothing is written any more. */
  readonly onFatal: (error: HoldfastError) => void;
}

/** How often what is asked of the disk is looked at before it is taken for one that hangs. */
const STALL_LOOKS = 20;
/** Sealing goes in slices of about a millisecond, so that the event loop stays free. */
const SLICE_ROWS = 64;
const SLICE_BYTES = 256 * 1024;

/**
 * Brings applied entries to disk in the background: one synced LevelDB batch at a time, made of whole entries and
 * the head row that goes with the last of them (I13: applied index and effects in the same atomic batch).
 *
 * A row that is put and deleted within one batch is never written. It must not be dropped earlier: were a batch
 * cut between the two, its head would count a row that is not there.
 */
export class StateWriter {
  readonly #options: WriterOptions;
  #queue: EntryChanges[] = [];
  #queueHead = 0;
  #batch = 0;
  #head: HeadRow;
  #unflushedBytes = 0;
  #running: Promise<void> | null = null;
  #state: 'open' | 'paused' | 'stopped' = 'open';
  #failed: HoldfastError | null = null;
  readonly #gathering: HurriedWait;
  #rewrite: {
    readonly rows: readonly RewrittenRow[];
    readonly resolve: (count: number | null) => void;
  } | null = null;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#gathering = new HurriedWait(options.scheduler);
    this.#head = options.head;
  }

  /** The head of the last batch on disk. */
  get head(): HeadRow {
    return this.#head;
  }

  /** Plaintext that waits for the disk, bytes. */
  get unflushedBytes(): number {
    return this.#unflushedBytes;
  }

  /** Why nothing is written any more, or null. */
  get failed(): HoldfastError | null {
    return this.#failed;
  }

  /**
   * Puts rows anew that are on disk still, in their turn between batches, for which it waits: what an entry has deleted
   * meanwhile stays deleted (I46), and no place is used twice. They are on disk for certain with the batch that follows, or
   * once the database is compacted. One call at a time.
   * @returns how many there still were; null when nothing is written any more, which `onFatal` has been told
   */
  rewrite(rows: readonly RewrittenRow[]): Promise<number | null> {
    assert(this.#rewrite === null, 'one rewrite at a time');
    if (this.#state !== 'open' || this.#failed !== null) return Promise.resolve(null);
    return new Promise((resolve) => {
      this.#rewrite = { rows, resolve };
      this.#start();
    });
  }

  add(changes: EntryChanges): void {
    assert(this.#state !== 'stopped', 'nothing is applied after the writer stopped');
    this.#queue.push(changes);
    this.#unflushedBytes += changes.bytes;
    this.#start();
    if (this.#unflushedBytes >= LIMITS.stateGatherBytes) this.#gathering.hurry();
  }

  /** Resolves when all that was added is on disk. Rejects when it never will be. */
  async flushed(): Promise<void> {
    // A batch that was taken from the queue may still be on its way.
    while (this.#failed === null && this.#state === 'open' && this.#busy()) {
      this.#gathering.hurry();
      await this.#run();
    }
    if (this.#failed !== null) throw this.#failed;
  }

  /** Ends after the batch in flight; what waits stays queued. */
  async pause(): Promise<void> {
    this.#state = 'paused';
    this.#gathering.hurry();
    await this.#running;
  }

  /** Goes on after a pause. */
  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'open';
    this.#start();
  }

  /** Ends for good; what waits is dropped. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    this.#gathering.hurry();
    await this.#running;
    this.#queue = [];
    this.#queueHead = 0;
    this.#unflushedBytes = 0;
  }

  #busy(): boolean {
    return this.#waiting() > 0 || this.#running !== null;
  }

  #waiting(): number {
    return this.#queue.length - this.#queueHead;
  }

  #start(): void {
    if (this.#running === null) void this.#run();
  }

  #run(): Promise<void> {
    this.#running ??= this.#writeAll();
    return this.#running;
  }

  async #writeAll(): Promise<void> {
    while (this.#isDue()) {
      await this.#rewriteOne();
      if (this.#waiting() === 0) continue;
      // The log holds what waits here: each synced batch competes with it for the disk, so entries come together first.
      if (this.#unflushedBytes < LIMITS.stateGatherBytes) await this.#gathering.wait(LIMITS.stateGatherMs);
      else await polled(this.#options.scheduler);
      try {
        await this.#writeOne(this.#takeBatch());
      } catch (thrown) {
        this.#fail(thrown);
      }
    }
    // In the same turn as the last look at the queue: an entry added after it starts a new run.
    this.#running = null;
  }

  #isDue(): boolean {
    if (this.#state === 'open' && this.#failed === null) return this.#waiting() > 0 || this.#rewrite !== null;
    this.#rewrite?.resolve(null);
    this.#rewrite = null;
    return false;
  }

  async #rewriteOne(): Promise<void> {
    const rewrite = this.#rewrite;
    if (rewrite === null) return;
    let count: number | null = null;
    try {
      count = await this.#putAnew(rewrite.rows);
    } catch (thrown) {
      this.#fail(thrown);
    }
    this.#rewrite = null;
    rewrite.resolve(this.#failed === null ? count : null);
  }

  async #putAnew(rows: readonly RewrittenRow[]): Promise<number> {
    if (rows.length === 0) return 0;
    const { database } = this.#options;
    const isThere = await this.#watched(database.has(rows.map(({ key }) => key)));
    if (this.#failed !== null) return 0;
    const left = rows.filter((_, at) => isThere[at]);
    const writes = database.batch();
    for (const { key, envelope } of left) writes.put(key, envelope);
    if (left.length > 0) await this.#watched(writes.write('later'));
    return left.length;
  }

  #fail(thrown: unknown): void {
    if (this.#failed !== null) return;
    const error = runningFailure(thrown);
    this.#failed = error;
    this.#options.onFatal(error);
  }

  /** Whole entries up to the limits of a batch; one at least. */
  #takeBatch(): readonly EntryChanges[] {
    const taken: EntryChanges[] = [];
    let rows = 0;
    let bytes = 0;
    while (this.#waiting() > 0) {
      const next = present(this.#queue[this.#queueHead], 'entry that waits for the disk');
      rows += next.puts.length + next.deletes.length;
      bytes += next.bytes;
      const over = rows > LIMITS.stateBatchRowsMax || bytes > LIMITS.stateBatchBytesMax;
      if (over && taken.length > 0) break;
      taken.push(next);
      this.#queueHead += 1;
    }
    if (this.#queueHead * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#queueHead);
      this.#queueHead = 0;
    }
    return taken;
  }

  async #writeOne(entries: readonly EntryChanges[]): Promise<void> {
    this.#batch += 1;
    const batch = this.#batch;
    const puts = entries.flatMap((entry) => entry.puts);
    for (const row of puts) row.batch = batch;
    const cancelled = new Set<Row>();
    const writes = this.#options.database.batch();
    for (const entry of entries) {
      for (const row of entry.deletes) {
        if (row.batch === batch) cancelled.add(row);
        else writes.del(rowKey(row));
      }
    }
    await this.#seal({ puts, cancelled, writes });
    const head = present(entries.at(-1), 'last entry of a batch').head;
    writeHead(writes, { head, sealer: this.#options.sealer });
    // The head moves with its index, so that its place too is never used twice.
    if (head.index !== this.#head.index) writes.del(rowKey(headPlace(this.#head)));
    await this.#watched(writes.write());
    // A write that came back after all was given up before: nobody may rely on it.
    if (this.#failed === null) this.#settle({ entries, puts, head });
  }

  /**
   * A disk that hangs is as good as one that fails: the log would grow for ever behind it. A timer that comes again and
   * again does not count the time in which the whole process stood still.
   */
  async #watched<T>(work: Promise<T>): Promise<T> {
    let looks = 0;
    const timer = this.#options.scheduler.every(LIMITS.diskStallFatalMs / STALL_LOOKS, () => {
      looks += 1;
      if (looks === STALL_LOOKS) this.#fail(diskStalled());
    });
    try {
      return await work;
    } finally {
      timer.stop();
    }
  }

  async #seal(batch: {
    puts: readonly Row[];
    cancelled: ReadonlySet<Row>;
    writes: DatabaseBatch;
  }): Promise<void> {
    let rows = 0;
    let bytes = 0;
    for (const row of batch.puts) {
      if (batch.cancelled.has(row)) continue;
      const encoded = present(row.encoded, 'plaintext of a row that waits for the disk');
      batch.writes.put(encoded.subarray(0, ROW_KEY_BYTES), this.#options.sealer.seal(row, encoded));
      rows += 1;
      bytes += encoded.length;
      if (rows < SLICE_ROWS && bytes < SLICE_BYTES) continue;
      rows = 0;
      bytes = 0;
      await polled(this.#options.scheduler);
    }
  }

  #settle(batch: { entries: readonly EntryChanges[]; puts: readonly Row[]; head: HeadRow }): void {
    this.#head = batch.head;
    for (const row of batch.puts) this.#options.onWritten(row);
    for (const entry of batch.entries) this.#unflushedBytes -= entry.bytes;
    this.#options.onDurable(batch.head);
  }
}

function diskStalled(): HoldfastError {
  return new HoldfastError(
    'DISK_FAILED',
    `what was asked of the disk of the state has not returned for ${LIMITS.diskStallFatalMs} ms`,
    { hint: 'check the disk of the data directory before the node is started again' },
  );
}

export function headPlace(head: { readonly index: number }): RowPlace {
  return { table: 'h', number: head.index, sub: 0 };
}

/** Puts a head row into a batch. */
export function writeHead(
  writes: DatabaseBatch,
  { head, sealer }: { head: HeadRow; sealer: RowSealer },
): void {
  const place = headPlace(head);
  writes.put(rowKey(place), sealer.seal(place, encodeRow(place, headRowCodec.encode(head))));
}
