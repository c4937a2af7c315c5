import type { Clock } from '../../base/clock.ts';
import type { HoldfastError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Logger } from '../../base/logger.ts';
import type { RandomSource } from '../../base/random.ts';
import type { Scheduler } from '../../base/scheduler.ts';
import type { RaftOptions } from '../raft/options.ts';
import type { SnapshotMetadata } from '../raft/types.ts';
import type { StateMachine } from '../replicatedLog.ts';
import type { PeerTransport } from '../transport/types.ts';
import type { WalContents, WriteAheadLog } from '../wal/types.ts';
import type { LogWindow } from './compaction.ts';

/** Times and windows; the defaults are those of base/limits.ts. */
export interface RaftLogTiming {
  readonly tickMs: number;
  readonly heartbeatTicks: number;
  readonly electionTicksMin: number;
  readonly electionTicksMax: number;
  /** Of the log behind what is in the state on disk. */
  readonly trailing: LogWindow;
  readonly held: LogWindow;
  /** Of committed entries that are not in the state on disk. */
  readonly backlogBytesMax: number;
  readonly diskStallFatalMs: number;
}

export const DEFAULT_TIMING: RaftLogTiming = {
  tickMs: LIMITS.tickMs,
  heartbeatTicks: LIMITS.heartbeatTicks,
  electionTicksMin: LIMITS.electionTicksMin,
  electionTicksMax: LIMITS.electionTicksMax,
  trailing: { entries: LIMITS.logTrailingEntries, bytes: LIMITS.logTrailingBytes },
  held: { entries: LIMITS.logHeldEntries, bytes: LIMITS.logHeldBytes },
  backlogBytesMax: LIMITS.logBacklogBytesMax,
  diskStallFatalMs: LIMITS.diskStallFatalMs,
};

/** How much the core holds and sends at once; the defaults are those of base/limits.ts. */
export type RaftLogBounds = Pick<
  RaftOptions,
  | 'appendBytesMax'
  | 'inFlightMessagesMax'
  | 'inFlightBytesMax'
  | 'uncommittedBytesMax'
  | 'pendingReadRoundsMax'
>;

export const DEFAULT_BOUNDS: RaftLogBounds = {
  appendBytesMax: LIMITS.appendBytesMax,
  inFlightMessagesMax: LIMITS.inFlightMessagesMax,
  inFlightBytesMax: LIMITS.inFlightBytesMax,
  uncommittedBytesMax: LIMITS.uncommittedBytesMax,
  pendingReadRoundsMax: LIMITS.pendingReadRoundsMax,
};

export interface RaftLogOptions {
  readonly nodeId: NodeId;
  /** Belongs to the log from here on, which closes it. */
  readonly wal: WriteAheadLog;
  readonly walContents: WalContents;
  /**
   * The durable place of the state machine and the configuration there. Null: the state is lost; a snapshot of a leader
   * takes its place before anything is applied.
   */
  readonly applied: SnapshotMetadata | null;
  readonly stateMachine: StateMachine;
  /** Belongs to the log from here on, which closes it. */
  readonly transport: PeerTransport;
  readonly clock: Clock;
  /** Default: the event loop's own. */
  readonly scheduler?: Scheduler;
  readonly random: RandomSource;
  readonly logger: Logger;
  /** Called once: the process must stop now. Nothing was acknowledged that is not durable. */
  readonly onFatal: (error: HoldfastError) => void;
  readonly timing?: Partial<RaftLogTiming>;
  readonly bounds?: Partial<RaftLogBounds>;
}
