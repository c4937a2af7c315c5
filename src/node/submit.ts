import { assert, present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import type { Command, CommandBatch, Outcome } from '../proto/storage.ts';
import type { Place } from '../replication/raft/types.ts';

/** A command as its caller gives it; submit adds who waits for it. */
export type Submission = Omit<Command, 'origin' | 'sequence'>;

/** The ways out of submit: to the log when this node leads, to the leader when it does not. */
export interface SubmitPorts {
  isLeader(): boolean;
  /** Null when refused for now; `place` is where the batch stands if it is ever committed. */
  propose(batch: CommandBatch): { readonly place: Place } | { readonly refused: string };
  /** False when there is no leader to send it to. */
  forward(commands: readonly Command[], sequence: number): boolean;
  stampMs(): number;
}

interface Waiting {
  readonly command: Command;
  readonly bytes: number;
  readonly deadlineMs: number;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: HoldfastError) => void;
  /** Never left this node, so that a refusal is certain. */
  untold: boolean;
}

/** Rough size of a command inside a batch; the true size is bounded by the request limit. */
function commandBytes(submission: Submission): number {
  let bytes = 64;
  const transaction = submission.transaction;
  if (transaction === null || transaction === undefined) return bytes;
  for (const compare of transaction.compares) bytes += compare.key.length + compare.value.length + 32;
  for (const operation of [...transaction.success, ...transaction.failure]) {
    bytes += (operation.put?.key.length ?? 0) + (operation.put?.value.length ?? 0) + 32;
  }
  return bytes;
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
  readonly #proposed = new Map<number, { readonly term: number; readonly batch: CommandBatch }>();
  readonly #forwarded = new Map<number, readonly number[]>();
  #queue: Waiting[] = [];
  #waitingBytes = 0;
  #sequence = 0;
  #forwardSequence = 0;
  #flushScheduled = false;
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
  }

  /**
   * Resolves with the outcome at the command's place in the log, also when the outcome is a failure.
   * @throws HoldfastError OVERLOADED, NO_LEADER, UNAVAILABLE (not applied); OUTCOME_UNKNOWN (may be applied)
   */
  submit(submission: Submission, deadlineMs: number): Promise<Outcome> {
    const bytes = commandBytes(submission);
    const refusal = this.#refusal(bytes);
    if (refusal !== null) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      this.#sequence += 1;
      const command: Command = { ...submission, origin: this.#origin, sequence: this.#sequence };
      const waiting: Waiting = { command, bytes, deadlineMs, resolve, reject, untold: true };
      this.#bySequence.set(this.#sequence, waiting);
      this.#waitingBytes += bytes;
      this.#enqueue(waiting);
    });
  }

  #refusal(bytes: number): HoldfastError | null {
    if (this.#stopped)
      return new HoldfastError('UNAVAILABLE', 'this node is stopping', { hint: 'use another node' });
    if (
      this.#bySequence.size >= LIMITS.waitingCommandsMax ||
      this.#waitingBytes + bytes > LIMITS.waitingBytesMax
    ) {
      return new HoldfastError('OVERLOADED', 'too many writes wait at this node', {
        hint: 'slow down and try again',
      });
    }
    return null;
  }

  #enqueue(waiting: Waiting): void {
    this.#queue.push(waiting);
    this.#scheduleFlush();
  }

  /** One flush an event-loop turn: all that arrived in the turn shares a batch. */
  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#queue.length === 0) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#queue.length > 0) {
      const leader = this.#ports.isLeader();
      const inFlight = leader ? this.#proposed.size : this.#forwarded.size;
      if (inFlight >= LIMITS.proposalsInFlightMax) return;
      const batch = this.#takeBatch();
      const sent = leader ? this.#propose(batch) : this.#forward(batch);
      if (!sent) {
        this.#queue = [...batch, ...this.#queue];
        return;
      }
    }
  }

  #takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#queue) {
      if (count >= LIMITS.entryCommandsMax) break;
      // A single command may be larger than a batch: it goes alone.
      if (count > 0 && bytes + waiting.bytes > LIMITS.entryBatchBytesMax) break;
      bytes += waiting.bytes;
      count += 1;
    }
    const batch = this.#queue.slice(0, count);
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
    for (const waiting of batch) waiting.untold = false;
    this.#proposed.set(proposal.place.index, { term: proposal.place.term, batch: commands });
    return true;
  }

  #forward(batch: readonly Waiting[]): boolean {
    this.#forwardSequence += 1;
    const sequence = this.#forwardSequence;
    if (
      !this.#ports.forward(
        batch.map(({ command }) => command),
        sequence,
      )
    )
      return false;
    for (const waiting of batch) waiting.untold = false;
    this.#forwarded.set(
      sequence,
      batch.map(({ command }) => command.sequence),
    );
    return true;
  }

  /** Proposes commands that another node's callers wait for. False: not the leader, or no room. */
  proposeForwarded(commands: readonly Command[]): boolean {
    if (this.#stopped || !this.#ports.isLeader()) return false;
    const batch = { timeMs: this.#ports.stampMs(), commands };
    const proposal = this.#ports.propose(batch);
    if ('refused' in proposal) return false;
    this.#proposed.set(proposal.place.index, { term: proposal.place.term, batch });
    return true;
  }

  /**
   * The batch as we proposed it at this place, so that the proposer need not open it again; null when another
   * entry was committed there. Forgets it: each index is applied once.
   */
  takeProposed(place: Place): CommandBatch | null {
    const proposed = this.#proposed.get(place.index);
    if (proposed === undefined) return null;
    this.#proposed.delete(place.index);
    this.#scheduleFlush();
    if (proposed.term === place.term) return proposed.batch;
    this.#lost(proposed.batch);
    return null;
  }

  /** Another entry stands at our place: nothing of the batch was or will be applied, so it may go again. */
  #lost(batch: CommandBatch): void {
    for (const command of batch.commands) {
      if (command.origin !== this.#origin) continue;
      const waiting = this.#bySequence.get(command.sequence);
      if (waiting !== undefined) this.#enqueue(waiting);
    }
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
    return waiting;
  }

  #dropAnsweredForwards(): void {
    for (const [sequence, waiting] of this.#forwarded) {
      if (!waiting.some((one) => this.#bySequence.has(one))) this.#forwarded.delete(sequence);
    }
  }

  /** The leader did not take a forward: it may go again, here or there. */
  forwardRefused(forwardSequence: number): void {
    const sequences = this.#forwarded.get(forwardSequence);
    if (sequences === undefined) return;
    this.#forwarded.delete(forwardSequence);
    for (const sequence of sequences) {
      const waiting = this.#bySequence.get(sequence);
      if (waiting !== undefined) this.#enqueue(waiting);
    }
  }

  /**
   * Another leader, or none. What was forwarded may have reached the old one: it goes again when it has a request
   * id (the store applies it once), and else its outcome is unknown.
   */
  leadershipChanged(): void {
    for (const sequence of [...this.#forwarded.values()].flat()) {
      const waiting = this.#bySequence.get(sequence);
      if (waiting === undefined) continue;
      if (waiting.command.request) this.#enqueue(waiting);
      else this.#forget(sequence)?.reject(unknownOutcome('the leader changed'));
    }
    this.#forwarded.clear();
    this.#scheduleFlush();
  }

  /** Called a few times a second: answers those whose deadline has passed, and tries again what was not taken. */
  sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [sequence, waiting] of this.#bySequence) {
      if (waiting.deadlineMs > nowMs) continue;
      this.#forget(sequence);
      waiting.reject(waiting.untold ? noLeader() : unknownOutcome('no answer within the deadline'));
    }
    this.#queue = this.#queue.filter((waiting) => this.#bySequence.has(waiting.command.sequence));
    this.#dropAnsweredForwards();
    this.#scheduleFlush();
  }

  /** A snapshot replaced the state: what waits for entries below it will not see them applied here. */
  stateReplaced(): void {
    this.#proposed.clear();
    this.leadershipChanged();
  }

  get waitingCount(): number {
    return this.#bySequence.size;
  }

  stop(): void {
    this.#stopped = true;
    for (const [sequence, waiting] of this.#bySequence) {
      this.#forget(sequence);
      waiting.reject(
        waiting.untold
          ? new HoldfastError('UNAVAILABLE', 'this node is stopping', { hint: 'use another node' })
          : unknownOutcome('this node is stopping'),
      );
    }
    this.#queue = [];
  }
}

function noLeader(): HoldfastError {
  return new HoldfastError('NO_LEADER', 'no leader took the write within the deadline; it was not applied', {
    hint: 'see holdfast status: a majority of voters must be up and reach each other',
  });
}

function unknownOutcome(why: string): HoldfastError {
  return new HoldfastError('OUTCOME_UNKNOWN', `${why}; the write may or may not have happened`, {
    hint: 'send it again under the same request id, or read to find out',
  });
}
