import { HoldfastError, toHoldfastError } from '../../base/errors.ts';
import type { LogIndex, NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import { type Scheduler, systemScheduler } from '../../base/scheduler.ts';
import type { RaftInitialState } from '../raft/options.ts';
import { Raft } from '../raft/raft.ts';
import type {
  Configuration,
  MemberChange,
  Message,
  PersistBatch,
  Place,
  RaftStatus,
  Ready,
  SnapshotMetadata,
} from '../raft/types.ts';
import type { MembershipRefusal, ProposalRefusal, ReplicatedLog, Seal } from '../replicatedLog.ts';
import type { PeerReceiver, RefusedMessage } from '../transport/types.ts';
import { Applier } from './applier.ts';
import { Backlog } from './backlog.ts';
import { ClockOffsets } from './clockOffsets.ts';
import { CompactionWindow } from './compaction.ts';
import { DiskStall } from './diskStall.ts';
import { HeldLog, patienceTicks } from './heldLog.ts';
import { LEADING_MESSAGES } from './leadingMessages.ts';
import { openingOf } from './opening.ts';
import { DEFAULT_BOUNDS, DEFAULT_TIMING, type RaftLogOptions, type RaftLogTiming } from './options.ts';
import { PeerSet } from './peerSet.ts';
import { ReadBarriers } from './readBarriers.ts';
import { stepAll } from './receiving.ts';
import { Releasing } from './releasing.ts';
import { SnapshotInstaller } from './snapshotInstaller.ts';
import { lateTicksMax, Ticker } from './ticker.ts';
import { TrustWatch } from './trust.ts';

/**
 * The host of the Raft core: performs the numbered duties of `Ready` (raft/types.ts) on a write-ahead log, a
 * transport and a state machine. What callers ask for in one turn of the event loop steps the core first; then one
 * `#process` takes what follows, so that many proposals are one write and one message to each peer. What a frame or a
 * write brings is on the way of an entry and is processed at once: a turn may be long.
 *
 * 1. `messages` are sent before the write begins: they promise nothing that is not durable.
 * 2. Writes are handed over in sequence and may merge; answers that depend on one leave when it is durable, and
 *    before the core hears of it. A crash between write and send costs a message, never a promise.
 * 3. Entries are applied only when durable here, in slices, and only then reported as applied.
 * 4. Reads are answered with an index; the caller waits until that is applied.
 * 5. A snapshot is installed into the state first, and the log restarted from it afterwards: a crash between the two
 *    leaves a state beyond its log, which `reconcile` mends.
 */
export class RaftLog implements ReplicatedLog {
  readonly #options: RaftLogOptions;
  readonly #timing: RaftLogTiming;
  readonly #scheduler: Scheduler;
  readonly #raft: Raft;
  readonly #applier: Applier;
  readonly #installer: SnapshotInstaller;
  readonly #reads: ReadBarriers;
  readonly #ticker: Ticker;
  readonly #window: CompactionWindow;
  readonly #backlog: Backlog;
  readonly #disk: DiskStall;
  readonly #held: HeldLog;
  readonly #releasing: Releasing;
  readonly #peers: PeerSet;
  readonly #trust: TrustWatch;
  readonly #clockOffsets = new ClockOffsets();
  #leadership: Raft['leadership'] = { isLeader: false, leader: null, term: 0 };
  /** The tail of all writes handed over so far, each with what follows from it. */
  #writes: Promise<void> = Promise.resolve();
  #processDue = false;
  #processing = false;
  #stopped: HoldfastError | null = null;

  private constructor(options: RaftLogOptions, initial: RaftInitialState) {
    const { nodeId, random, clock, stateMachine } = options;
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#scheduler = options.scheduler ?? systemScheduler;
    const scheduler = this.#scheduler;
    const { electionTicksMin, electionTicksMax, heartbeatTicks, tickMs } = this.#timing;
    this.#raft = new Raft({
      nodeId,
      random,
      initial,
      electionTicksMin,
      electionTicksMax,
      heartbeatTicks,
      ...DEFAULT_BOUNDS,
      ...options.bounds,
    });
    const onFailed = (error: unknown): void => this.#fail(error);
    this.#trust = new TrustWatch({ ...options, raft: this.#raft, onFailed });
    const { applied, configuration, stateMissing = false } = initial;
    this.#applier = new Applier({
      clock,
      sliceMs: LIMITS.applySliceMs,
      applied,
      configuration,
      stateMissing,
      apply: (entry) => stateMachine.apply(entry),
    });
    this.#installer = new SnapshotInstaller({
      ...options,
      scheduler,
      applier: this.#applier,
      onInstalled: (metadata) => this.#guard(() => this.#installed(metadata)),
      onFailed: (error) => this.#guard(() => this.#installFailed(error)),
    });
    this.#reads = new ReadBarriers({ clock, request: (requestId) => this.#raft.requestRead(requestId) });
    this.#ticker = new Ticker({
      clock,
      scheduler,
      tickMs,
      lateTicksMax: lateTicksMax(electionTicksMin),
      onTick: () => this.#guard(() => this.#tick()),
    });
    const { trailing, held, backlogBytesMax } = this.#timing;
    this.#window = new CompactionWindow({ trailing, held }, initial.snapshot.index);
    this.#window.add(initial.entries);
    this.#backlog = new Backlog({ bytesMax: backlogBytesMax, durable: applied, sizes: this.#window });
    this.#held = new HeldLog({ patienceTicks: patienceTicks(electionTicksMax) });
    const parts = { raft: this.#raft, window: this.#window, held: this.#held, wal: options.wal };
    this.#releasing = new Releasing({ ...parts, durable: applied });
    this.#disk = new DiskStall({ wal: options.wal, timing: this.#timing });
    this.#peers = new PeerSet(options.transport, (peerId) => stateMachine.peerAddress(peerId));
  }

  /**
   * Brings log and state together, then takes part.
   * @throws HoldfastError STATE_CORRUPT when log and state do not belong together, LOG_CORRUPT when the log is suspect
   *   and nobody could mend it, DISK_FAILED
   */
  static async open(options: RaftLogOptions): Promise<RaftLog> {
    const { suspicion = null } = options.walContents;
    if (suspicion !== null) {
      const { index, term } = suspicion.until;
      options.logger.warn({ index, term, reason: suspicion.reason }, 'the log is suspect');
    }
    const { restart, initial } = openingOf(options);
    if (restart !== null) {
      options.logger.warn({ index: initial.applied }, 'the log is restarted from the state on disk');
      await options.wal.append(restart);
      if (suspicion !== null && initial.suspectUntil === null) await options.wal.suspect(null);
    }
    const log = new RaftLog(options, initial);
    log.#start();
    return log;
  }

  propose(seal: Seal): { readonly place: Place } | { readonly refused: ProposalRefusal } {
    if (this.#stopped !== null) return { refused: 'stopped' };
    if (this.#disk.isLong || this.#backlog.full) return { refused: 'overloaded' };
    const outcome = this.#raft.propose(seal);
    if ('refused' in outcome) return outcome;
    this.#processSoon();
    return { place: outcome };
  }

  proposeMembership(
    changes: readonly MemberChange[],
    seal: Seal,
  ): { readonly place: Place } | { readonly refused: MembershipRefusal; readonly reason: string } {
    if (this.#stopped !== null) return { refused: 'stopped', reason: this.#stopped.message };
    if (this.#disk.isLong) return { refused: 'overloaded', reason: 'the disk does not answer' };
    const outcome = this.#raft.proposeConfiguration(changes, seal);
    if ('refused' in outcome) return outcome;
    this.#processSoon();
    return { place: outcome };
  }

  /** `deadlineMs` is a time on the monotonic clock; kept to within a tick. */
  readBarrier(deadlineMs: number): Promise<LogIndex> {
    const index = this.#reads.add(deadlineMs);
    this.#processSoon();
    return index;
  }

  transferLeadership(target: NodeId): void {
    if (this.#stopped !== null) return;
    this.#raft.transferLeadership(target);
    this.#processSoon();
  }

  status(): RaftStatus {
    return this.#raft.status();
  }

  voterClocks(): ReturnType<ReplicatedLog['voterClocks']> {
    return this.#clockOffsets.ofVoters(this.#applier.configuration, this.#options.nodeId);
  }

  durable(metadata: SnapshotMetadata): void {
    if (this.#stopped !== null) return;
    const durable = Math.min(metadata.index, this.#applier.applied);
    this.#backlog.durable(durable);
    this.#processSoon();
    this.#releasing.durable(durable).catch((error: unknown) => this.#fail(error));
  }

  async forget(): Promise<void> {
    if (this.#stopped !== null) throw this.#stopped;
    await this.#releasing.all();
  }

  forward(forward: { readonly sequence: number; readonly envelope: Uint8Array }): boolean {
    const { leader, isLeader } = this.#leadership;
    if (this.#stopped !== null || leader === null || isLeader) return false;
    return this.#options.transport.forward(leader, forward);
  }

  /** Stops taking part, waits for the writes under way, and lets go of transport and write-ahead log. */
  async close(): Promise<void> {
    this.#stop(new HoldfastError('UNAVAILABLE', 'the node is stopping'));
    await this.#options.transport.close();
    await this.#installer.stop();
    await this.#writes;
    await this.#options.wal.close();
  }

  #start(): void {
    this.#peers.configured(this.#applier.configuration);
    this.#options.transport.start(this.#receiver());
    this.#ticker.start();
    this.#processSoon();
  }

  #receiver(): PeerReceiver {
    const { stateMachine, transport } = this.#options;
    return {
      messages: (messages) => {
        let refused: readonly RefusedMessage[] = [];
        this.#guard(() => {
          refused = stepAll(messages, { raft: this.#raft, peers: this.#peers });
          this.#processNow();
        });
        return refused;
      },
      forwarded: ({ from, sequence, envelope }) =>
        this.#guard(() => {
          if (stateMachine.forwarded({ from, sequence, envelope })) return;
          transport.refuseForward(from, sequence);
        }),
      forwardRefused: (refusal) => this.#guard(() => stateMachine.forwardRefused(refusal)),
      clockHeard: (offset) => this.#clockOffsets.heard(offset),
      openSnapshot: async () => {
        const snapshot = await stateMachine.openSnapshot();
        this.#held.snapshotOpened(snapshot.metadata.index);
        return snapshot;
      },
    };
  }

  #tick(): void {
    this.#disk.tick();
    this.#held.tick(this.#raft.status().progress);
    const failure = this.#options.wal.failure() ?? this.#disk.failure;
    if (failure !== null) return this.#fail(failure);
    // A leader goes on counting, so that it notices that nobody answers; others must not campaign on such a disk.
    if (!this.#disk.isLong || this.#leadership.isLeader) this.#raft.tick();
    this.#reads.tick({ leaderKnown: this.#leadership.leader !== null });
    this.#processSoon();
  }

  #processSoon(): void {
    if (this.#processDue || this.#stopped !== null) return;
    this.#processDue = true;
    this.#scheduler.afterPoll(() => {
      this.#processDue = false;
      this.#guard(() => this.#process());
    });
  }

  /** Unless proposals of this turn wait for company, or this was caused by what is being processed. */
  #processNow(): void {
    if (this.#processDue || this.#processing || this.#stopped !== null) this.#processSoon();
    else this.#process();
  }

  #process(): void {
    this.#processing = true;
    try {
      this.#reads.ask();
      for (let ready = this.#ready(); ready !== null; ready = this.#ready()) this.#perform(ready);
      this.#applySlice();
      this.#announceLeadership();
      this.#trust.look();
    } finally {
      this.#processing = false;
    }
  }

  /** Invariant 41. What was handed out is applied in any case: a snapshot waits for that. */
  #ready(): Ready | null {
    this.#backlog.committed(Math.min(this.#raft.commit, this.#raft.stableIndex));
    const committed = !this.#applier.idle || this.#options.stateMachine.isBehind();
    this.#raft.hold({ entries: this.#backlog.full, committed });
    return this.#raft.ready();
  }

  #perform(ready: Ready): void {
    this.#send(ready.messages);
    if (ready.persist !== null) this.#persist(ready.persist);
    this.#applier.add(ready.committed);
    for (const read of ready.reads) this.#reads.answer(read);
    if (ready.snapshotWanted !== null) this.#installer.want(ready.snapshotWanted);
  }

  #send(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const stalled = this.#disk.isLong;
    this.#options.transport.send(
      stalled ? messages.filter((message) => !LEADING_MESSAGES.has(message.type)) : messages,
    );
  }

  #persist(batch: PersistBatch): void {
    const { sequence, messagesAfterPersist, ...walBatch } = batch;
    if (walBatch.snapshot !== null) this.#window.restart(walBatch.snapshot.index);
    this.#window.add(walBatch.entries);
    const durable = this.#options.wal.append(walBatch);
    const before = this.#writes;
    // Strictly in sequence, also if the log's promises should ever settle out of order.
    this.#writes = durable.then(
      () =>
        before.then(() =>
          this.#guard(() => {
            this.#send(messagesAfterPersist);
            this.#raft.persisted(sequence);
            this.#processNow();
          }),
        ),
      (error: unknown) => this.#fail(error),
    );
  }

  #applySlice(): void {
    const { configuration } = this.#applier;
    if (!this.#applier.slice()) return;
    this.#raft.applied(this.#applier.applied);
    if (this.#applier.configuration !== configuration) this.#configured(this.#applier.configuration);
    // More may be ready, or left over from this slice; both wait until the loop has polled.
    this.#processSoon();
  }

  #configured(configuration: Configuration): void {
    this.#peers.configured(configuration);
    this.#clockOffsets.configured(configuration);
  }

  #announceLeadership(): void {
    const { isLeader, leader, term } = this.#raft.leadership;
    const before = this.#leadership;
    if (before.isLeader === isLeader && before.leader === leader && before.term === term) return;
    this.#leadership = { isLeader, leader, term };
    this.#options.logger.info(this.#leadership, 'leadership changed');
    this.#options.stateMachine.leadershipChanged(this.#leadership);
  }

  #installed(metadata: SnapshotMetadata): void {
    if (this.#raft.snapshotFetched(metadata)) {
      this.#applier.restart(metadata);
      this.#backlog.durable(metadata.index);
      this.#configured(metadata.configuration);
      this.#options.logger.info({ index: metadata.index }, 'a snapshot is installed');
    }
    this.#processSoon();
  }

  #installFailed(error: HoldfastError): void {
    if (error.code === 'DISK_FAILED') this.#fail(error);
    else this.#raft.snapshotFailed();
    this.#processSoon();
  }

  /** A violated invariant or a failed disk stops the node: it acknowledges nothing from here on. */
  #guard(step: () => void): void {
    if (this.#stopped !== null) return;
    try {
      step();
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown): void {
    if (this.#stopped !== null) return;
    const error = toHoldfastError(thrown);
    this.#options.logger.error({ code: error.code, error: error.message }, 'the replicated log stops');
    this.#stop(error);
    this.#options.onFatal(error);
  }

  #stop(error: HoldfastError): void {
    if (this.#stopped !== null) return;
    this.#stopped = error;
    this.#ticker.stop();
    this.#reads.stop(error);
  }
}
