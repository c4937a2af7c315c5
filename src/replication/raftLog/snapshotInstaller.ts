import { HoldfastError, toHoldfastError } from '../../base/errors.ts';
import type { LogIndex, NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Logger } from '../../base/logger.ts';
import { polled, type Scheduler } from '../../base/scheduler.ts';
import type { SnapshotMetadata } from '../raft/types.ts';
import type { StateMachine, StateSnapshot } from '../replicatedLog.ts';
import type { PeerTransport } from '../transport/types.ts';
import type { Applier } from './applier.ts';
import { SnapshotPull } from './snapshotPulling.ts';

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

/**
 * Pulls and installs snapshots, one at a time; of the wishes that come meanwhile only the newest counts, and one for
 * another leader ends the pull from this one.
 */
export class SnapshotInstaller {
  readonly #options: SnapshotInstallerOptions;
  #running: Promise<void> | null = null;
  #current: { readonly from: NodeId; readonly pull: SnapshotPull } | null = null;
  #next: SnapshotWanted | null = null;
  #stopped = false;

  constructor(options: SnapshotInstallerOptions) {
    this.#options = options;
  }

  want(wanted: SnapshotWanted): void {
    if (this.#running === null) this.#running = this.#run(wanted);
    else this.#next = wanted;
    if (this.#current === null || this.#current.from === wanted.from) return;
    this.#current.pull.abort(new HoldfastError('UNAVAILABLE', 'another node leads now'));
  }

  /** Begins nothing more, and waits for what runs. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#current?.pull.abort(stopping());
    await this.#running;
  }

  async #run(wanted: SnapshotWanted): Promise<void> {
    const { onInstalled, onFailed, logger, scheduler } = this.#options;
    let trying: SnapshotWanted | null = wanted;
    while (trying !== null) {
      this.#next = null;
      const pull = new SnapshotPull(scheduler);
      this.#current = { from: trying.from, pull };
      try {
        const metadata = await this.#install(trying, pull);
        this.#current = null;
        this.#running = null;
        onInstalled(metadata);
        return;
      } catch (thrown) {
        const error = toHoldfastError(thrown);
        logger.warn({ code: error.code, error: error.message }, 'a snapshot was not installed');
        // The leader would offer it again at once, and a disk gets no room as fast as that.
        if (error.code === 'NO_SPACE') await pull.pause(LIMITS.snapshotSpacePauseMs);
        this.#current = null;
        trying = this.#stopped || error.code === 'DISK_FAILED' ? null : this.#next;
        if (trying === null) {
          this.#running = null;
          onFailed(error);
        }
      }
    }
  }

  async #install(wanted: SnapshotWanted, pull: SnapshotPull): Promise<SnapshotMetadata> {
    const { transport, stateMachine, applier, logger, scheduler } = this.#options;
    logger.info(wanted, 'a snapshot is pulled');
    const snapshot = await this.#opened(transport.pullSnapshot(wanted), pull);
    try {
      while (!applier.idle) {
        pull.throwIfAborted();
        await polled(scheduler);
      }
      pull.throwIfAborted();
      if (isAhead(snapshot.metadata, applier)) {
        const { metadata, keyring } = snapshot;
        const rows = (): ReturnType<StateSnapshot['rows']> => pull.rows(snapshot.rows());
        await stateMachine.installSnapshot({ metadata, keyring, rows, close: () => snapshot.close() });
      }
      return snapshot.metadata;
    } finally {
      await snapshot.close();
    }
  }

  /** One that comes after it was given up is closed. */
  async #opened(opening: Promise<StateSnapshot>, pull: SnapshotPull): Promise<StateSnapshot> {
    try {
      return await pull.inTime(opening);
    } catch (thrown) {
      void opening.then(
        (late) => late.close(),
        () => undefined,
      );
      throw thrown;
    }
  }
}

function stopping(): HoldfastError {
  return new HoldfastError('UNAVAILABLE', 'the node is stopping');
}

/** Invariant 20: a state is never replaced by an older one. A node without members or state takes even an equal one. */
function isAhead({ index }: SnapshotMetadata, applier: Applier): boolean {
  const fromNothing = applier.configuration.voters.length === 0 || applier.stateMissing;
  return index > applier.applied || (fromNothing && index === applier.applied);
}
