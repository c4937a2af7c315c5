import { assert } from '../../base/assert.ts';
import type { LogIndex } from '../../base/ids.ts';
import type { HardState } from './types.ts';

interface InFlight {
  readonly sequence: number;
  readonly hardState: HardState;
  /** The last index that is durable when this write returns; lowered when the log is cut meanwhile. */
  last: LogIndex;
}

/**
 * What of the log and the hard state is durable, and what is on its way there.
 *
 * Invariant 12 (ABA): entries 5..6 of term 2 are being written; a leader of term 3 replaces 5 by its own; a leader of
 * term 4 puts 5..6 of term 2 back. When the first write now returns, 5 is in the log with the same term, but the disk
 * will soon hold term 3's: a crash would lose what was acknowledged. So a cut lowers what every write under way may
 * still prove; only the last write proves 5..6.
 */
export class Durability {
  #stable: LogIndex;
  #handed: LogIndex;
  #durable: HardState;
  #handedHardState: HardState;
  #sequence = 0;
  readonly #inFlight: InFlight[] = [];

  constructor(start: { last: LogIndex; hardState: HardState }) {
    this.#stable = start.last;
    this.#handed = start.last;
    this.#durable = start.hardState;
    this.#handedHardState = start.hardState;
  }

  /** The last index that is durable on this node. */
  get stable(): LogIndex {
    return this.#stable;
  }

  /** The last index that has been handed to the host for writing. */
  get handed(): LogIndex {
    return this.#handed;
  }

  get durable(): HardState {
    return this.#durable;
  }

  get idle(): boolean {
    return this.#inFlight.length === 0;
  }

  /** Term and vote are promises and need a write; so does a commit index from `commitNeeded` on. Else it rides along. */
  hardStateDue(now: HardState, commitNeeded: LogIndex): boolean {
    const handed = this.#handedHardState;
    return (
      now.term !== handed.term ||
      now.vote !== handed.vote ||
      (handed.commit < commitNeeded && now.commit >= commitNeeded)
    );
  }

  /** A write leaves for the disk; returns its sequence number. */
  hand(write: { last: LogIndex; hardState: HardState }): number {
    assert(write.hardState.term >= this.#handedHardState.term, 'I1: the stored term never falls');
    assert(write.hardState.commit >= this.#handedHardState.commit, 'I4: the stored commit index never falls');
    this.#sequence += 1;
    this.#handed = write.last;
    this.#handedHardState = write.hardState;
    this.#inFlight.push({ sequence: this.#sequence, ...write });
    return this.#sequence;
  }

  cutFrom(index: LogIndex): void {
    this.#stable = Math.min(this.#stable, index - 1);
    this.#handed = Math.min(this.#handed, index - 1);
    for (const write of this.#inFlight) write.last = Math.min(write.last, index - 1);
  }

  /** A snapshot replaced the log: writes under way prove nothing about what comes after it. */
  replacedBy(index: LogIndex): void {
    for (const write of this.#inFlight) write.last = 0;
    this.#stable = index;
    this.#handed = index;
  }

  /** All writes up to `sequence` are durable. False when that was known already. */
  persisted(sequence: number): boolean {
    assert(sequence <= this.#sequence, `persisted ${sequence} was never handed out`);
    let news = false;
    for (let write = this.#inFlight[0]; write !== undefined; write = this.#inFlight[0]) {
      if (write.sequence > sequence) break;
      this.#inFlight.shift();
      this.#durable = write.hardState;
      this.#stable = Math.max(this.#stable, write.last);
      news = true;
    }
    return news;
  }
}
