import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { LogIndex, NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import type { Checkpoint, Comparison, StateComparison } from './stateComparison.ts';

export interface StateGuardParts {
  readonly comparison: StateComparison;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly nameOf: (nodeId: NodeId) => string;
  /** This node's state is not that of the majority: it must stop, and not use this state again. */
  readonly onWrong: (error: HoldfastError) => void;
}

/**
 * Acts on what the comparison of states says. A node that a majority contradicts stops and is rebuilt. Where no majority
 * is known for either side, nobody can tell who is right: whoever sees that says so, and serves nothing until it is over.
 */
export class StateGuard {
  readonly #parts: StateGuardParts;
  #comparison: Comparison = { verdict: 'agreed', index: 0, differing: [] };
  #undecidedSinceMs: number | null = null;
  #said = 'agreed ';
  #stopped = false;

  constructor(parts: StateGuardParts) {
    this.#parts = parts;
  }

  applied(index: LogIndex): void {
    this.#parts.comparison.applied(index);
  }

  /** A snapshot has taken the place of the state. */
  replaced(): void {
    this.#parts.comparison.replaced();
  }

  heard(from: NodeId, checkpoints: readonly Checkpoint[]): void {
    this.#parts.comparison.heard(from, checkpoints);
    this.#judge();
  }

  /** That node has lost its state, or was told to take another one. */
  lost(from: NodeId): void {
    this.#parts.comparison.lost(from);
    this.#judge();
  }

  /** To be called every LIMITS.stateCheckpointsTickMs. @returns what to tell the others */
  tick(): readonly Checkpoint[] {
    const checkpoints = this.#parts.comparison.tick();
    this.#judge();
    return checkpoints;
  }

  /** Why nothing is served from this state now, or null. */
  get refusal(): HoldfastError | null {
    if (this.#undecidedSinceMs === null) return null;
    if (this.#parts.clock.monotonicMs() - this.#undecidedSinceMs < LIMITS.stateUndecidedMs) return null;
    return new HoldfastError('STATE_CORRUPT', this.#undecided(), {
      hint: 'see holdfast status; start the missing voters, or stop the node whose state is wrong, delete its state folder and start it again',
    });
  }

  /**
   * Why this state is given to no other node now, or null. At once, without the patience of `refusal`: whoever takes it
   * is counted as a second one that holds it, and both together contradict a node that may be right.
   */
  get doubt(): HoldfastError | null {
    const { verdict, index } = this.#parts.comparison.compare();
    if (verdict === 'agreed' && !this.#stopped) return null;
    return new HoldfastError('UNAVAILABLE', `the state of this node is in doubt at index ${index}`, {
      hint: 'see holdfast status',
    });
  }

  /** For status, one sentence each. */
  get warnings(): readonly string[] {
    const { verdict, differing } = this.#comparison;
    if (differing.length === 0) return [];
    return [verdict === 'undecided' ? `${this.#undecided()}; nothing is served` : this.#othersWrong()];
  }

  #judge(): void {
    if (this.#stopped) return;
    this.#comparison = this.#parts.comparison.compare();
    const { verdict, index } = this.#comparison;
    if (verdict === 'wrong') {
      this.#stopped = true;
      const message = `the state of this node at index ${index} is not that of the majority (${this.#names()})`;
      this.#parts.onWrong(
        new HoldfastError('STATE_CORRUPT', message, {
          hint: 'start the node again: it takes the state from the leader',
        }),
      );
      return;
    }
    if (verdict === 'agreed') this.#undecidedSinceMs = null;
    else this.#undecidedSinceMs ??= this.#parts.clock.monotonicMs();
    this.#say();
  }

  /** Once a change. */
  #say(): void {
    const { verdict, differing } = this.#comparison;
    const said = `${verdict} ${differing.join(' ')}`;
    if (said === this.#said) return;
    this.#said = said;
    const { logger } = this.#parts;
    if (differing.length > 0) logger.error(this.#comparison, this.warnings.join());
    else logger.info({}, 'the states of all voters that are heard agree');
  }

  #names(): string {
    return this.#comparison.differing.map((nodeId) => this.#parts.nameOf(nodeId)).join(', ');
  }

  #undecided(): string {
    return `the states of this node and of ${this.#names()} differ at index ${this.#comparison.index}, and no majority of voters agrees on either`;
  }

  #othersWrong(): string {
    return `the state of ${this.#names()} at index ${this.#comparison.index} is not that of the majority`;
  }
}
