import type { LogIndex } from '../../src/base/ids.ts';
import type { Entry, HardState, SnapshotMetadata } from '../../src/replication/raft/types.ts';
import type { WalBatch, WalContents, WriteAheadLog } from '../../src/replication/wal/types.ts';

/** A log as it would be found, as far as the protocol is concerned. */
export class LogModel {
  hardState: HardState;
  base: SnapshotMetadata;
  /** From base.index + 1. */
  entries: Entry[];

  constructor({ hardState, snapshot, entries }: WalContents) {
    this.hardState = hardState;
    this.base = snapshot;
    this.entries = [...entries];
  }

  get lastIndex(): LogIndex {
    return this.base.index + this.entries.length;
  }

  /** 32 bytes; null: not there, 'compacted': a snapshot stands for it. */
  hashAt(index: LogIndex): Uint8Array | 'compacted' | null {
    if (index < this.base.index) return 'compacted';
    if (index === this.base.index) return this.base.hash;
    return this.entries[index - this.base.index - 1]?.hash ?? null;
  }

  apply({ hardState, snapshot, entries }: WalBatch): void {
    if (snapshot !== null) {
      this.base = snapshot;
      this.entries = [];
    }
    const first = entries[0];
    if (first !== undefined) {
      this.entries.length = Math.max(0, Math.min(this.entries.length, first.index - this.base.index - 1));
      for (const entry of entries) if (entry.index > this.base.index) this.entries.push(entry);
    }
    this.hardState = hardState;
  }

  /** Whether a core's log ends here too. */
  endsWith({
    lastIndex,
    lastHash,
  }: {
    readonly lastIndex: LogIndex;
    readonly lastHash: Uint8Array;
  }): boolean {
    const own = this.hashAt(this.lastIndex);
    return this.lastIndex === lastIndex && own instanceof Uint8Array && Buffer.compare(own, lastHash) === 0;
  }

  copy(): LogModel {
    return new LogModel({ hardState: this.hardState, snapshot: this.base, entries: this.entries });
  }

  /** Whether both would be the same log to the core: the chain makes the last hash stand for all before. */
  endsAs(other: LogModel): boolean {
    const own = this.hashAt(this.lastIndex);
    const theirs = other.hashAt(other.lastIndex);
    return (
      this.lastIndex === other.lastIndex &&
      own instanceof Uint8Array &&
      theirs instanceof Uint8Array &&
      Buffer.compare(own, theirs) === 0 &&
      this.hardState.term === other.hardState.term &&
      this.hardState.vote === other.hardState.vote
    );
  }

  raise(base: SnapshotMetadata): void {
    if (base.index <= this.base.index) return;
    this.entries = this.entries.filter((entry) => entry.index > base.index);
    this.base = base;
  }
}

export interface WalObserver {
  /** What the core believes to be in its log from here on. */
  handed(batch: WalBatch): void;
  /** What a crash cannot take away any more. */
  durable(batch: WalBatch): void;
  released(base: SnapshotMetadata): void;
}

/** The real log, watched from outside. */
export function observed(wal: WriteAheadLog, observer: WalObserver): WriteAheadLog {
  return {
    async append(batch) {
      observer.handed(batch);
      await wal.append(batch);
      observer.durable(batch);
    },
    async release(metadata) {
      await wal.release(metadata);
      observer.released(metadata);
    },
    roll: () => wal.roll(),
    suspect: (until) => wal.suspect(until),
    failure: () => wal.failure(),
    firstIndex: () => wal.firstIndex(),
    lastIndex: () => wal.lastIndex(),
    pendingWriteMs: () => wal.pendingWriteMs(),
    close: () => wal.close(),
  };
}
