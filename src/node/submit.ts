import { assert, present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import type { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import type { Command, CommandBatch, Outcome } from '../proto/storage.ts';
import type { Place } from '../replication/raft/types.ts';
import { answerBytesMax, commandBytes, isWide } from './commandBytes.ts';
import { noLeader, overloaded, stopping, unknownOutcome } from './submitRefusals.ts';

const FORWARD_SEQUENCE_START_MAX = 2 ** 40;

/** A command as its caller gives it; submit adds who waits for it. */
export type Submission = Omit<Command, 'origin' | 'sequence'>;

/** The ways out of submit: to the log when this node leads, to the leader when it does not. */
export interface SubmitPorts {
  isLeader(): boolean;
  /** Null when refused for now; `place` is where the batch stands if it is ever committed. */
  propose(batch: CommandBatch): { readonly place: Place } | { readonly refused: string };
  /** Whom it was sent to; null when there is no leader. */
  forward(commands: readonly Command[], sequence: number): NodeId | null;
  stampMs(): number;
  /** Applied here and not yet on disk. */
  unflushedBytes(): number;
  /** Why the command is turned away as things are (no space, a state in doubt), or null. */
  turnedAway(submission: Submission): HoldfastError | null;
}

interface Waiting {
  readonly command: Command;
  readonly bytes: number;
  readonly answerBytes: number;
  readonly deadlineMs: number;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: HoldfastError) => void;
  /** In a batch that is proposed or forwarded now. */
  out: boolean;
  /** Was in one whose fate is not known: it may stand in the log, whatever becomes of it here. */
  doubtful: boolean;
}

/** A batch at the place that the log gave it. */
interface Proposed {
  readonly place: Place;
  readonly batch: CommandBatch;
  /** Of this node's own callers; a leader proposes those of other nodes too. */
  readonly own: boolean;
}

interface Forwarded {
  readonly to: NodeId;
  readonly waiting: readonly Waiting[];
  readonly sinceMs: number;
}

/**
 * THE write path. Commands wait here for their turn, travel in batches, and are answered when this node has
 * applied them: acknowledged = durable in the WAL of a quorum and applied here.
 */
export class Submit {
  readonly #ports: SubmitPorts;
  readonly #clock: Clock;
  /** Unique for this run of this node, so that no outcome of an earlier run is taken for ours. */
  readonly #origin: string;
  readonly #bySequence = new Map<number, Waiting>();
  readonly #forwarded = new Map<number, Forwarded>();
  #proposed: Proposed[] = [];
  #queue: Waiting[] = [];
  #waitingBytes = 0;
  #waitingAnswerBytes = 0;
  #sequence = 0;
  /** Begins anywhere, so that a late refusal for an earlier run of this node names none of this run's forwards. */
  #forwardSequence: number;
  #flushScheduled = false;
  /** A batch was turned away: the next one waits for a sweep or for news, else it would go to and fro without end. */
  #held = false;
  #stopped = false;

  constructor({
    ports,
    clock,
    random,
    nodeId,
  }: { ports: SubmitPorts; clock: Clock; random: RandomSource; nodeId: string }) {
    this.#ports = ports;
    this.#clock = clock;
    this.#origin = `${nodeId}/${random.bytes(8).toString('hex')}`;
    this.#forwardSequence = random.integer({ min: 1, max: FORWARD_SEQUENCE_START_MAX });
  }

  /**
   * Resolves with the outcome at the command's place in the log, also when the outcome is a failure.
   * @throws HoldfastError OVERLOADED, NO_LEADER, NO_SPACE, STATE_CORRUPT, UNAVAILABLE (not applied); OUTCOME_UNKNOWN (may be applied)
   */
  submit(submission: Submission, deadlineMs: number): Promise<Outcome> {
    const bytes = commandBytes(submission);
    const answerBytes = answerBytesMax(submission);
    const refusal = this.#refusal(bytes, answerBytes) ?? this.#ports.turnedAway(submission);
    if (refusal !== null) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      this.#sequence += 1;
      const command: Command = { ...submission, origin: this.#origin, sequence: this.#sequence };
      const waiting: Waiting = {
        command,
        bytes,
        answerBytes,
        deadlineMs,
        resolve,
        reject,
        out: false,
        doubtful: false,
      };
      this.#bySequence.set(this.#sequence, waiting);
      this.#waitingBytes += bytes;
      this.#waitingAnswerBytes += answerBytes;
      this.#enqueue(waiting);
    });
  }

  #refusal(bytes: number, answerBytes: number): HoldfastError | null {
    if (this.#stopped) return stopping();
    if (
      this.#bySequence.size >= LIMITS.waitingCommandsMax ||
      this.#waitingBytes + bytes > LIMITS.waitingBytesMax ||
      this.#waitingAnswerBytes + answerBytes > LIMITS.waitingAnswerBytesMax ||
      this.#diskBehind()
    ) {
      return overloaded();
    }
    return null;
  }

  #diskBehind(): boolean {
    return this.#ports.unflushedBytes() > LIMITS.unflushedBytesMax;
  }

  #enqueue(waiting: Waiting): void {
    waiting.out = false;
    this.#queue.push(waiting);
    this.#scheduleFlush();
  }

  #isWaiting(waiting: Waiting): boolean {
    return this.#bySequence.has(waiting.command.sequence);
  }

  /** One flush an event-loop turn: all that arrived in the turn shares a batch. */
  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#held || this.#queue.length === 0) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#queue.length > 0 && !this.#held) {
      const leader = this.#ports.isLeader();
      // What the leader proposes for other nodes does not count: it must not shut out its own callers.
      const inFlight = leader ? this.#proposed.filter(({ own }) => own).length : this.#forwarded.size;
      if (inFlight >= LIMITS.proposalsInFlightMax) return;
      const batch = this.#takeBatch();
      if (batch.length === 0) return;
      if (leader ? this.#propose(batch) : this.#forward(batch)) {
        for (const waiting of batch) waiting.out = true;
      } else {
        this.#queue = [...batch, ...this.#queue];
        this.#held = true;
      }
    }
  }

  /** What was held back may go now. */
  resume(): void {
    this.#release();
  }

  #release(): void {
    this.#held = false;
    this.#scheduleFlush();
  }

  #takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    let bytes = 0;
    let count = 0;
    let wide = 0;
    for (const waiting of this.#queue) {
      if (batch.length >= LIMITS.entryCommandsMax) break;
      // An entry is applied in one go: what goes over many keys is spread over entries.
      if (isWide(waiting.command)) wide += 1;
      if (wide > LIMITS.entryWideCommandsMax) break;
      // A single command may be larger than a batch: it goes alone.
      if (batch.length > 0 && bytes + waiting.bytes > LIMITS.entryBatchBytesMax) break;
      count += 1;
      // One that goes again may have been answered by its first way meanwhile.
      if (!this.#isWaiting(waiting)) continue;
      bytes += waiting.bytes;
      batch.push(waiting);
    }
    this.#queue = this.#queue.slice(count);
    return batch;
  }

  #propose(batch: readonly Waiting[]): boolean {
    const commands: CommandBatch = {
      timeMs: this.#ports.stampMs(),
      commands: batch.map(({ command }) => command),
    };
    const proposal = this.#ports.propose(commands);
    if ('refused' in proposal) return false;
    this.#proposed.push({ place: proposal.place, batch: commands, own: true });
    return true;
  }

  #forward(batch: readonly Waiting[]): boolean {
    this.#forwardSequence += 1;
    const sequence = this.#forwardSequence;
    const commands = batch.map(({ command }) => command);
    const to = this.#ports.forward(commands, sequence);
    if (to === null) return false;
    this.#forwarded.set(sequence, { to, waiting: batch, sinceMs: this.#clock.monotonicMs() });
    return true;
  }

  /** Proposes commands that another node's callers wait for. False: not the leader, or no room. */
  proposeForwarded(commands: readonly Command[]): boolean {
    if (this.#stopped || !this.#ports.isLeader() || this.#diskBehind()) return false;
    // No honest node sends more; applied, they would stop every node, at each start anew.
    if (commands.length > LIMITS.entryCommandsMax) return false;
    if (commands.some((command) => this.#ports.turnedAway(command) !== null)) return false;
    const batch = { timeMs: this.#ports.stampMs(), commands };
    const proposal = this.#ports.propose(batch);
    if ('refused' in proposal) return false;
    this.#proposed.push({ place: proposal.place, batch, own: false });
    return true;
  }

  /**
   * The batch as we proposed it at this place, so that the proposer need not open it again; null when another
   * entry was committed there. Forgets it: each index is applied once.
   */
  takeProposed(place: Place): CommandBatch | null {
    let taken: CommandBatch | null = null;
    const lost: Proposed[] = [];
    this.#proposed = this.#proposed.filter((proposed) => {
      const { index, term } = proposed.place;
      if (index === place.index && term === place.term) {
        taken = proposed.batch;
        return false;
      }
      // Terms never fall along a log: after an entry of a later term, ours of an earlier one is in no log that counts.
      if (index > place.index && term >= place.term) return true;
      lost.push(proposed);
      return false;
    });
    for (const { batch } of lost) this.#lost(batch);
    if (taken !== null || lost.length > 0) this.#release();
    return taken;
  }

  /** Another entry stands at our place: nothing of the batch was or will be applied, so it may go again. */
  #lost(batch: CommandBatch): void {
    for (const waiting of this.#ownOf(batch)) this.#enqueue(waiting);
  }

  /** A batch was committed and counts nowhere, since it was sealed under a key that was not in force any more. */
  passedOver(batch: CommandBatch): void {
    this.#lost(batch);
  }

  /** Those of a batch who wait here. */
  #ownOf(batch: CommandBatch): readonly Waiting[] {
    return batch.commands.flatMap(({ origin, sequence }) => {
      const waiting = origin === this.#origin ? this.#bySequence.get(sequence) : undefined;
      return waiting === undefined ? [] : [waiting];
    });
  }

  /** The outcomes of an applied batch: wakes those who wait here. */
  applied(batch: CommandBatch, outcomes: readonly Outcome[]): void {
    assert(batch.commands.length === outcomes.length, 'one outcome a command');
    for (let i = 0; i < batch.commands.length; i += 1) {
      const command = present(batch.commands[i], 'command');
      if (command.origin === this.#origin) this.#settle(command.sequence, present(outcomes[i], 'outcome'));
    }
    if (this.#forwarded.size > 0) this.#dropAnsweredForwards();
    this.#scheduleFlush();
  }

  #settle(sequence: number, outcome: Outcome): void {
    const waiting = this.#forget(sequence);
    waiting?.resolve(outcome);
  }

  #forget(sequence: number): Waiting | undefined {
    const waiting = this.#bySequence.get(sequence);
    if (waiting === undefined) return undefined;
    this.#bySequence.delete(sequence);
    this.#waitingBytes -= waiting.bytes;
    this.#waitingAnswerBytes -= waiting.answerBytes;
    return waiting;
  }

  #dropAnsweredForwards(): void {
    for (const [sequence, { waiting }] of this.#forwarded) {
      if (!waiting.some((one) => this.#isWaiting(one))) this.#forwarded.delete(sequence);
    }
  }

  /**
   * The leader did not take a forward: it goes again with the next sweep, here or there. Nobody else can say so: what the
   * leader has taken would be applied twice.
   */
  forwardRefused({ from, sequence }: { readonly from: NodeId; readonly sequence: number }): void {
    const forwarded = this.#forwarded.get(sequence);
    if (forwarded === undefined || forwarded.to !== from) return;
    this.#forwarded.delete(sequence);
    this.#held = true;
    for (const waiting of forwarded.waiting) if (this.#isWaiting(waiting)) this.#enqueue(waiting);
  }

  /**
   * Another leader, or none. What was forwarded may have reached the old one: it goes again when it has a request
   * id (the store applies it once), and else its outcome is unknown.
   */
  leadershipChanged(): void {
    const forwarded = [...this.#forwarded.values()];
    this.#forwarded.clear();
    for (const { waiting } of forwarded)
      for (const one of waiting) this.#goesAgainOrFails(one, 'the leader changed');
    this.#release();
  }

  #goesAgainOrFails(waiting: Waiting, why: string): void {
    if (!this.#isWaiting(waiting)) return;
    waiting.doubtful = true;
    if (waiting.command.request) this.#enqueue(waiting);
    else this.#forget(waiting.command.sequence)?.reject(unknownOutcome(why));
  }

  /** Called a few times a second: answers those whose deadline has passed, and tries again what was not taken. */
  sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [sequence, waiting] of this.#bySequence) {
      if (waiting.deadlineMs > nowMs) continue;
      this.#forget(sequence);
      waiting.reject(mayStand(waiting) ? unknownOutcome('no answer within the deadline') : noLeader());
    }
    this.#queue = this.#queue.filter((waiting) => this.#isWaiting(waiting));
    this.#dropAnsweredForwards();
    this.#giveUpForwards(nowMs);
    this.#release();
  }

  /**
   * A forward is lost with the connection that carried it, and no one says so. After a while it no longer counts
   * as in flight, and what has a request id goes again; the rest waits on, since it may still be applied.
   */
  #giveUpForwards(nowMs: number): void {
    for (const [sequence, { waiting, sinceMs }] of this.#forwarded) {
      if (nowMs - sinceMs < LIMITS.forwardPatienceMs) continue;
      this.#forwarded.delete(sequence);
      for (const one of waiting)
        if (one.command.request) this.#goesAgainOrFails(one, 'the leader did not answer');
    }
  }

  /** A snapshot replaced the state: what was applied with it is not seen here, so every fate is unknown. */
  stateReplaced(): void {
    const proposed = this.#proposed;
    this.#proposed = [];
    for (const { batch } of proposed)
      for (const waiting of this.#ownOf(batch))
        this.#goesAgainOrFails(waiting, 'this node fell behind and took a snapshot');
    this.leadershipChanged();
  }

  get waitingCount(): number {
    return this.#bySequence.size;
  }

  stop(): void {
    this.#stopped = true;
    for (const [sequence, waiting] of this.#bySequence) {
      this.#forget(sequence);
      waiting.reject(mayStand(waiting) ? unknownOutcome('this node is stopping') : stopping());
    }
    this.#queue = [];
  }
}

/** Whether the command may be in the log, so that a refusal would be a guess. */
function mayStand({ out, doubtful }: Waiting): boolean {
  return out || doubtful;
}
