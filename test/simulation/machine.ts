import type { Clock } from '../../src/base/clock.ts';
import type { HoldfastError } from '../../src/base/errors.ts';
import type { NodeId, StoreId } from '../../src/base/ids.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { Scheduler, Timer } from '../../src/base/scheduler.ts';
import type { Sealer } from '../../src/envelope/sealer.ts';
import { Read } from '../../src/node/read.ts';
import { snapshotMetadata } from '../../src/node/snapshotMetadata.ts';
import type { Message, SnapshotMetadata } from '../../src/replication/raft/types.ts';
import { RaftLog } from '../../src/replication/raftLog/raftLog.ts';
import type { PeerReceiver } from '../../src/replication/transport/types.ts';
import { DiskWal, EMPTY_WAL_CONTENTS } from '../../src/replication/wal/diskWal.ts';
import type { WalContents, WriteAheadLog } from '../../src/replication/wal/types.ts';
import type { HistoryBounds } from '../../src/store/compaction.ts';
import { Store } from '../../src/store/store.ts';
import type { Happening } from './eventQueue.ts';
import { MachineState } from './machineState.ts';
import { type Network, NetworkTransport } from './network.ts';
import { observed } from './observedWal.ts';
import type { Observer } from './observer.ts';
import { type DiskDriver, VirtualDisk } from './virtualDisk.ts';
import { VirtualState } from './virtualState.ts';
import { Watcher } from './watcher.ts';
import type { Workload } from './workload.ts';
import type { World } from './world.ts';

export const TICK_MS = 50;
/** A clock that runs fast is ahead by so much of the time that has passed; a slow one behind. */
export const CLOCK_RATE_MAX = 1.2;
/** How often reads that waited too long are turned away. */
const SWEEP_MS = 500;
const WAL_DIRECTORY = 'wal';
/** How long a callback waits for its turn of the event loop. */
const TURN_MS = 0.02;

/** Small, so that compaction and forgetting go on in every run. */
const HISTORY: HistoryBounds = {
  revisionsKept: 20,
  revisionsMax: 60,
  ageMs: 3_000,
  bytesMax: 20_000,
  stepRecordsMax: 5,
};

/** What a machine is while it runs. */
export interface Running {
  readonly log: RaftLog;
  readonly store: Store;
  readonly read: Read;
  readonly transport: NetworkTransport;
  readonly wal: WriteAheadLog;
}

export interface MachineParts {
  readonly nodeId: NodeId;
  readonly world: World;
  readonly network: Network;
  readonly observer: Observer;
  readonly sealer: Sealer;
  readonly storeId: StoreId;
  readonly workload: Workload;
}

/** One computer: its disk, its clock, and the node on it in one life after another. */
export class Machine {
  readonly nodeId: NodeId;
  readonly disk: VirtualDisk;
  readonly state: VirtualState;
  readonly #parts: MachineParts;
  readonly #watcher: Watcher;
  readonly #rate: number;
  /** Raised by every start and every crash; what was planned for an earlier one is void. */
  life = 1;
  paused = false;
  /** When it last went on after a pause. */
  resumedAtMs = 0;
  running: Running | null = null;
  starting = false;
  /** Taken out of the cluster and switched off for good. */
  scrapped = false;
  /** The operations of this disk take so much longer. */
  diskFactor = 1;
  /** Nothing of this disk returns before this time. */
  diskHungUntilMs = 0;
  failNextWrite = false;
  wallJumpMs = 0;
  /** False: there is nothing on the disk yet. */
  made = false;
  #deferred: Happening[] = [];
  #turnMs = 0;

  constructor(parts: MachineParts) {
    this.#parts = parts;
    this.nodeId = parts.nodeId;
    this.#watcher = new Watcher({ world: parts.world, told: parts.observer.toldRevisions });
    const { knobs, chances } = parts.world;
    this.#rate = knobs.faults.has('clockSkew')
      ? chances.nodes.between(2 - CLOCK_RATE_MAX, CLOCK_RATE_MAX)
      : 1;
    const driver = this.#driver();
    this.disk = new VirtualDisk(driver);
    this.state = new VirtualState(driver);
  }

  get receiver(): PeerReceiver | null {
    return this.running?.transport.receiver ?? null;
  }

  get clock(): Clock {
    const { world } = this.#parts;
    return {
      monotonicMs: () => world.timeMs * this.#rate,
      wallMs: () => Math.floor(1_700_000_000_000 + world.timeMs * this.#rate + this.wallJumpMs),
    };
  }

  /** What the port of a real node asks before it listens to a peer. */
  mayHear(from: NodeId): boolean {
    return this.running !== null && !this.running.store.isRemoved(from);
  }

  receive(messages: readonly Message[]): void {
    this.receiver?.messages(messages);
  }

  /** Switches on; the node is up some operations of its disk later. */
  start(): void {
    if (this.running !== null || this.starting || this.scrapped) return;
    this.starting = true;
    this.life += 1;
    const { life } = this;
    this.#open().then(
      (running) => {
        if (life !== this.life) return;
        this.starting = false;
        this.running = running;
      },
      (thrown: unknown) => {
        if (life !== this.life) return;
        this.starting = false;
        this.#parts.world.guard(() => this.#parts.observer.startFailed(this, thrown));
        this.crash();
      },
    );
  }

  /** The power goes. */
  crash(): void {
    this.life += 1;
    this.running = null;
    this.starting = false;
    this.paused = false;
    this.#deferred = [];
    this.disk.crash();
    this.state.crash();
    this.failNextWrite = false;
    this.diskHungUntilMs = 0;
    this.#parts.observer.crashed(this);
  }

  defer(event: Happening): void {
    this.#deferred.push(event);
  }

  /** After a pause a timer fires before anything that came meanwhile is read (F6). */
  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.resumedAtMs = this.#parts.world.timeMs;
    const deferred = this.#deferred;
    this.#deferred = [];
    const timers = deferred.filter(({ kind }) => kind === 'timer');
    const others = deferred.filter(({ kind }) => kind !== 'timer');
    for (const event of [...timers, ...others]) this.#parts.world.replan(event);
  }

  /** Turns and timers of this machine's event loop. */
  get scheduler(): Scheduler {
    const { world } = this.#parts;
    const after = (delayMs: number, run: () => void, kind: 'timer' | 'turn'): Timer => {
      let stopped = false;
      const happen = (): void => {
        if (!stopped) run();
      };
      world.planFor(this, { delayMs, kind, run: happen });
      return {
        stop: () => {
          stopped = true;
        },
      };
    };
    return {
      afterPoll: (run) => {
        this.#turnMs = Math.max(this.#turnMs, world.timeMs + TURN_MS);
        after(this.#turnMs - world.timeMs, run, 'turn');
      },
      after: (delayMs, run) => after(delayMs / this.#rate, run, 'timer'),
      every: (periodMs, run) => this.#repeat(periodMs / this.#rate, run),
    };
  }

  #repeat(periodMs: number, run: () => void): Timer {
    let stopped = false;
    const plan = (): void =>
      this.#parts.world.planFor(this, {
        delayMs: periodMs,
        kind: 'timer',
        run: () => {
          if (stopped) return;
          plan();
          run();
        },
      });
    plan();
    return {
      stop: () => {
        stopped = true;
      },
    };
  }

  #driver(): DiskDriver {
    const { knobs, chances } = this.#parts.world;
    return {
      chance: chances.disk,
      tears: knobs.faults.has('tornWrites'),
      failsNow: () => {
        const fails = this.failNextWrite;
        this.failNextWrite = false;
        return fails;
      },
      operation: <T>(perform: () => T) => this.#diskOperation(perform),
    };
  }

  #diskOperation<T>(perform: () => T): Promise<T> {
    const { world } = this.#parts;
    const { disk } = world.chances;
    return new Promise((resolve, reject) => {
      const usualMs = world.knobs.diskDelayMs * disk.between(0.5, 2) * this.diskFactor;
      const delayMs = Math.max(usualMs, this.diskHungUntilMs - world.timeMs);
      const run = (): void => {
        try {
          resolve(perform());
        } catch (thrown) {
          reject(thrown instanceof Error ? thrown : new Error(String(thrown)));
        }
      };
      world.planFor(this, { delayMs, kind: 'disk', run });
    });
  }

  #storeOptions(onDurable: () => void): Parameters<typeof Store.open>[0] {
    return {
      directory: '',
      generations: this.state,
      openDatabase: this.state.openDatabase,
      scheduler: this.scheduler,
      sealer: this.#parts.sealer,
      history: HISTORY,
      onDurable,
      onFatal: (error) => this.#fatal(error),
    };
  }

  async #open(): Promise<Running> {
    const { world, network, observer, storeId, nodeId, workload } = this.#parts;
    let running: Running | null = null;
    const storeOptions = this.#storeOptions(() =>
      running?.log.durable(snapshotMetadata(running.store.durableHead)),
    );
    const walOptions = {
      directory: WAL_DIRECTORY,
      storeId,
      files: this.disk,
      clock: this.clock,
      scheduler: this.scheduler,
      segmentBytes: world.knobs.segmentBytes,
    };
    if (!this.made) await this.#makeBlank(storeOptions, walOptions);
    const { wal, contents } = await DiskWal.open(walOptions);
    const store = await Store.open(storeOptions);
    const applied: SnapshotMetadata = snapshotMetadata(store.durableHead);
    world.guard(() => observer.opened(this, { contents, applied, store }));
    const transport = new NetworkTransport({ network, machine: this, world });
    const stateMachine = new MachineState({
      store,
      sealer: this.#parts.sealer,
      onApplied: (event) => {
        observer.applied(this, { event, store });
        running?.read.applied(event.entry.index);
        world.guard(() => workload.applied(this, event));
      },
      onInstalled: (index) => {
        observer.history.installed(this, { index, store });
        running?.read.applied(index);
      },
      onLeadership: () => undefined,
    });
    const { knobs } = world;
    const log = await RaftLog.open({
      nodeId,
      wal: observed(wal, observer.walOf(this)),
      walContents: contents,
      applied,
      stateMachine,
      transport,
      clock: this.clock,
      scheduler: this.scheduler,
      random: new SeededRandom(world.chances.nodes.integer(0, 0x7fff_ffff)),
      logger: silentLogger,
      onFatal: (error) => this.#fatal(error),
      timing: {
        tickMs: TICK_MS,
        electionTicksMin: knobs.electionTicksMin,
        electionTicksMax: knobs.electionTicksMax,
        heartbeatTicks: knobs.heartbeatTicks,
        trailing: { entries: knobs.trailingEntries, bytes: 4_000 },
        held: { entries: knobs.heldEntries, bytes: 16_000 },
        diskStallFatalMs: 2_000,
        backlogBytesMax: knobs.backlogBytesMax,
      },
      bounds: {
        appendBytesMax: knobs.appendBytesMax,
        inFlightMessagesMax: knobs.inFlightMessagesMax,
        inFlightBytesMax: knobs.appendBytesMax * 4,
        uncommittedBytesMax: knobs.uncommittedBytesMax,
        pendingReadRoundsMax: 4,
      },
    });
    const { clock, scheduler } = this;
    const ports = {
      readBarrier: (deadlineMs: number) => log.readBarrier(deadlineMs),
      appliedIndex: () => store.applied.index,
    };
    const read = new Read({ ports, clock, scheduler });
    scheduler.every(SWEEP_MS, () => read.sweep());
    running = { log, store, read, transport, wal };
    this.#watcher.attach(store, (run) => scheduler.afterPoll(run));
    return running;
  }

  /** A node that has only been made holds nothing; a making that was cut off is begun anew. */
  async #makeBlank(
    storeOptions: Parameters<typeof Store.open>[0],
    walOptions: Parameters<typeof DiskWal.open>[0],
  ): Promise<void> {
    this.disk.wipe();
    this.state.wipe();
    await (await Store.create(storeOptions)).close();
    const wal = await DiskWal.create(walOptions, EMPTY_WAL_CONTENTS);
    await wal.close();
    this.made = true;
  }

  /** A member of the first configuration: state and log as the first node's bootstrap leaves them. */
  async makeFounder(first: { readonly state: VirtualState; readonly contents: WalContents }): Promise<void> {
    this.state.copyOf(first.state);
    const { storeId, world } = this.#parts;
    const wal = await DiskWal.create(
      {
        directory: WAL_DIRECTORY,
        storeId,
        files: this.disk,
        clock: this.clock,
        scheduler: this.scheduler,
        segmentBytes: world.knobs.segmentBytes,
      },
      first.contents,
    );
    await wal.close();
    this.made = true;
  }

  /** The process stops itself. */
  #fatal(error: HoldfastError): void {
    const { world, observer } = this.#parts;
    world.guard(() => observer.stopped(this, error));
    // In the same turn other code of the node may still run; it must not find itself gone.
    world.planFor(this, { delayMs: 0, kind: 'fault', run: () => this.crash() });
  }
}
