import type { HoldfastError } from '../base/errors.ts';
import type { Scheduler } from '../base/scheduler.ts';
import type { Sealer } from '../envelope/sealer.ts';
import type { HistoryBounds } from './compaction.ts';
import type { OpenDatabase } from './database.ts';
import type { Generations } from './stateFolder.ts';
import type { AppliedPlace } from './types.ts';
import type { Schedule } from './watchHub.ts';

export interface StoreOptions {
  /** The node's data directory; the state lies in its folder `state`. */
  readonly directory: string;
  readonly sealer: Sealer;
  /** Everything up to this place is on disk. */
  readonly onDurable: (place: AppliedPlace) => void;
  /** DISK_FAILED or STATE_CORRUPT, once: the node must stop at once, without closing anything. */
  readonly onFatal: (error: HoldfastError) => void;
  /** Default: LevelDB. */
  readonly openDatabase?: OpenDatabase;
  /** Default: LIMITS. The same on every node, since it decides what apply does. */
  readonly history?: HistoryBounds;
  /** Default: LIMITS.valueCacheBytesMax. */
  readonly cacheBytesMax?: number;
  /** Default: the folder `state` of the directory. */
  readonly generations?: Generations;
  /** Default: the event loop's own. */
  readonly scheduler?: Scheduler;
  /** When watches are told of history. Default: the scheduler's next turn. */
  readonly schedule?: Schedule;
}
