import { assert } from '../../base/assert.ts';
import type { LogIndex } from '../../base/ids.ts';
import { InFlight } from './inflight.ts';
import type { SuspicionNotice } from './types.ts';

export type ProgressState = 'probe' | 'replicate' | 'snapshot';

/**
 * What the leader knows of one member's log. Changed only here.
 *
 * probe:     where the logs agree is not known; one append at a time until an answer or a heartbeat's answer comes.
 * replicate: they agree; appends are sent ahead of the answers, as many as the window takes.
 * snapshot:  the member needs what is compacted; nothing is appended until it has pulled a snapshot.
 *
 * Invariant 10: match < next, and match never falls during one leadership, but when the member turns out to have lost
 * what it held: then it is 0 until the member has been replicated to anew, and answers move nothing but `next`.
 */
export class Progress {
  #match: LogIndex;
  #next: LogIndex;
  #state: ProgressState = 'probe';
  #probeSent = false;
  #silentTicks = 0;
  #nudgeDue = true;
  #sentCommit: LogIndex = 0;
  #suspicion: SuspicionNotice | null = null;
  readonly #inFlight: InFlight;

  constructor(start: {
    match: LogIndex;
    next: LogIndex;
    window: { messagesMax: number; bytesMax: number };
  }) {
    this.#match = start.match;
    this.#next = start.next;
    this.#inFlight = new InFlight(start.window);
  }

  /** The highest index known to be durable there and equal to ours. */
  get match(): LogIndex {
    return this.#match;
  }

  /** The next index to send. */
  get next(): LogIndex {
    return this.#next;
  }

  /** Set while nothing that the member acknowledges counts. */
  get suspicion(): SuspicionNotice | null {
    return this.#suspicion;
  }

  get state(): ProgressState {
    return this.#state;
  }

  /**
   * Ticks since the member was last heard. It begins as if it had just been heard: else a leader that adds members
   * would fail its next quorum check before they could speak.
   */
  get silentTicks(): number {
    return this.#silentTicks;
  }

  /** The highest commit index that an append or a commit message has told it. */
  get sentCommit(): LogIndex {
    return this.#sentCommit;
  }

  get windowFull(): boolean {
    return this.#inFlight.full;
  }

  get inFlightCount(): number {
    return this.#inFlight.count;
  }

  /** Whether another append may leave now. */
  get open(): boolean {
    if (this.#state === 'snapshot') return false;
    return this.#state === 'probe' ? !this.#probeSent : !this.#inFlight.full;
  }

  sentAppend(sent: { last: LogIndex; entries: number; bytes: number; commit: LogIndex }): void {
    // Invariant 6: it takes no more from an append than the entries that this holds.
    this.sentCommitIndex(Math.min(sent.commit, sent.last));
    if (this.#state === 'probe') {
      this.#probeSent = true;
    } else if (sent.entries > 0) {
      this.#next = sent.last + 1;
      this.#inFlight.add({ last: sent.last, bytes: sent.bytes });
    }
  }

  sentCommitIndex(commit: LogIndex): void {
    this.#sentCommit = Math.max(this.#sentCommit, commit);
  }

  /** Any answer in this term: the member lives. */
  heard(): void {
    this.#silentTicks = 0;
  }

  /** Its log agrees with ours up to `index`. False for old news. */
  acknowledged(index: LogIndex, firstIndex: LogIndex): boolean {
    const news = index > this.#match;
    if (news) {
      this.#match = index;
      this.#next = Math.max(this.#next, index + 1);
    }
    if (this.#state === 'probe' && index === this.#match) this.#enter('replicate');
    else if (this.#state === 'snapshot' && this.#match + 1 >= firstIndex) this.#enter('replicate');
    else if (this.#state === 'replicate') this.#inFlight.freeThrough(index);
    assert(this.#match < this.#next, 'I10: match < next');
    return news;
  }

  /** It refused an append after `rejected`; the logs may agree at `candidate`. False for an answer from the past. */
  refused(rejected: LogIndex, candidate: LogIndex): boolean {
    if (this.#state === 'snapshot' || rejected <= this.#match) return false;
    if (this.#state === 'replicate') {
      this.#enter('probe');
      return true;
    }
    if (rejected !== this.#next - 1) return false;
    this.#next = Math.max(Math.min(rejected, candidate + 1), this.#match + 1);
    this.#probeSent = false;
    return true;
  }

  /** Counts nothing of this member from here on. A later call renews the mark. */
  suspect(suspicion: SuspicionNotice): void {
    if (this.#suspicion === null && this.#state === 'replicate') this.#move('probe', this.#next);
    this.#suspicion = suspicion;
    this.#match = 0;
  }

  /** It counts again, with what it acknowledges from here on. */
  trust(): void {
    this.#suspicion = null;
  }

  /** Suspect: it says to hold our log up to `index`. */
  suspectHolds(index: LogIndex, firstIndex: LogIndex): void {
    if (this.#state === 'snapshot' && index + 1 < firstIndex) return;
    if (this.#state !== 'replicate') this.#move('replicate', index + 1);
    this.#inFlight.freeThrough(index);
    this.#next = Math.max(this.#next, index + 1);
  }

  /** Suspect: as `refused`, but whatever it acknowledged before. */
  suspectRefused(rejected: LogIndex, candidate: LogIndex): boolean {
    if (this.#state === 'snapshot') return false;
    if (this.#state === 'probe' && rejected !== this.#next - 1) return false;
    this.#move('probe', Math.max(1, Math.min(rejected, candidate + 1)));
    return true;
  }

  needsSnapshot(): void {
    this.#enter('snapshot');
  }

  snapshotFailed(): void {
    if (this.#state === 'snapshot') this.#enter('probe');
  }

  /** A heartbeat leaves on the clock: its answer may bring one more append, so that a lost one is noticed. */
  heartbeatSent(): void {
    this.#nudgeDue = true;
  }

  /** Takes the one extra append that a heartbeat's answer allows. */
  takeNudge(): boolean {
    const due = this.#nudgeDue;
    this.#nudgeDue = false;
    if (due) this.#probeSent = false;
    return due;
  }

  ticked(): void {
    this.#silentTicks += 1;
  }

  #enter(state: ProgressState): void {
    this.#move(state, this.#match + 1);
  }

  #move(state: ProgressState, next: LogIndex): void {
    this.#state = state;
    this.#probeSent = false;
    this.#inFlight.clear();
    this.#next = next;
    this.#sentCommit = 0;
  }
}
