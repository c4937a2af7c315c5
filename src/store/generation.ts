import type { HoldfastError } from '../base/errors.ts';
import { type Scheduler, systemScheduler } from '../base/scheduler.ts';
import type { Sealer } from '../envelope/sealer.ts';
import type { HeadRow } from '../proto/storage.ts';
import type { HistoryBounds } from './compaction.ts';
import type { Database } from './database.ts';
import { loadState } from './loadState.ts';
import { RowBytes } from './rowBytes.ts';
import { RowSealer } from './rowSealer.ts';
import { State } from './state.ts';
import { StateWriter } from './writer.ts';

export interface GenerationOptions {
  readonly number: number;
  readonly database: Database;
  readonly sealer: Sealer;
  /** Default: the event loop's own. */
  readonly scheduler?: Scheduler;
  readonly onDurable: (head: HeadRow) => void;
  readonly onFatal: (error: HoldfastError) => void;
  readonly bounds?: HistoryBounds;
  readonly cacheBytesMax?: number;
}

/** One state as a whole: in memory, on its way to disk, and on disk. */
export interface Generation {
  readonly number: number;
  readonly database: Database;
  readonly sealer: RowSealer;
  readonly rowBytes: RowBytes;
  readonly state: State;
  readonly writer: StateWriter;
}

/** Loads and verifies the state that lies in a database. @throws HoldfastError as loadState */
export async function loadGeneration(options: GenerationOptions): Promise<Generation> {
  const {
    number,
    database,
    onDurable,
    onFatal,
    bounds,
    cacheBytesMax,
    scheduler = systemScheduler,
  } = options;
  const sealer = new RowSealer(options.sealer);
  const cache = cacheBytesMax === undefined ? {} : { cacheBytesMax };
  const rowBytes = new RowBytes({ database, sealer, onFatal, ...cache });
  const state = new State(bounds === undefined ? { rowBytes } : { rowBytes, bounds });
  const snapshot = database.snapshot();
  try {
    const head = await loadState(state, { snapshot, sealer });
    const onWritten = rowBytes.written.bind(rowBytes);
    const writer = new StateWriter({ database, sealer, scheduler, head, onWritten, onDurable, onFatal });
    return { number, database, sealer, rowBytes, state, writer };
  } finally {
    await snapshot.close();
  }
}
