import { HoldfastError, toHoldfastError } from '../../base/errors.ts';
import type { LogIndex, NodeId } from '../../base/ids.ts';
import type { Logger } from '../../base/logger.ts';
import { polled, type Scheduler } from '../../base/scheduler.ts';
import type { SnapshotMetadata } from '../raft/types.ts';
import type { StateMachine } from '../replicatedLog.ts';
import type { PeerTransport } from '../transport/types.ts';
import type { Applier } from './applier.ts';

export interface SnapshotWanted {
  readonly from: NodeId;
  readonly index: LogIndex;
}

export interface SnapshotInstallerOptions {
  readonly transport: PeerTransport;
  readonly stateMachine: StateMachine;
  readonly applier: Applier;
  readonly logger: Logger;
  readonly scheduler: Scheduler;
  /** The state is that of the snapshot, or was ahead of it already. */
  readonly onInstalled: (metadata: SnapshotMetadata) => void;
  readonly onFailed: (error: HoldfastError) => void;
}

/** Pulls and installs snapshots, one at a time; of the wishes that come meanwhile only the newest counts. */
export class SnapshotInstaller {
  readonly #options: SnapshotInstallerOptions;
  #running: Promise<void> | null = null;
  #next: SnapshotWanted | null = null;
  #stopped = false;

  constructor(options: SnapshotInstallerOptions) {
    this.#options = options;
  }

  want(wanted: SnapshotWanted): void {
    if (this.#running === null) this.#running = this.#run(wanted);
    else this.#next = wanted;
  }

  /** Begins nothing more, and waits for what runs; the transport must be closed first, which ends a pull. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(wanted: SnapshotWanted): Promise<void> {
    const { onInstalled, onFailed, logger } = this.#options;
    let trying: SnapshotWanted | null = wanted;
    while (trying !== null) {
      this.#next = null;
      try {
        const metadata = await this.#install(trying);
        this.#running = null;
        onInstalled(metadata);
        return;
      } catch (thrown) {
        const error = toHoldfastError(thrown);
        logger.warn({ code: error.code, error: error.message }, 'a snapshot was not installed');
        trying = this.#stopped || error.code === 'DISK_FAILED' ? null : this.#next;
        if (trying === null) {
          this.#running = null;
          onFailed(error);
        }
      }
    }
  }

  async #install(wanted: SnapshotWanted): Promise<SnapshotMetadata> {
    const { transport, stateMachine, applier, logger, scheduler } = this.#options;
    logger.info(wanted, 'a snapshot is pulled');
    const snapshot = await transport.pullSnapshot(wanted);
    try {
      while (!applier.idle) {
        this.#throwIfStopped();
        await polled(scheduler);
      }
      this.#throwIfStopped();
      if (isAhead(snapshot.metadata, applier)) await stateMachine.installSnapshot(snapshot);
      return snapshot.metadata;
    } finally {
      await snapshot.close();
    }
  }

  #throwIfStopped(): void {
    if (this.#stopped) throw new HoldfastError('UNAVAILABLE', 'the node is stopping');
  }
}

/** Invariant 20: a state is never replaced by an older one. A node without members or state takes even an equal one. */
function isAhead({ index }: SnapshotMetadata, applier: Applier): boolean {
  const fromNothing = applier.configuration.voters.length === 0 || applier.stateMissing;
  return index > applier.applied || (fromNothing && index === applier.applied);
}
