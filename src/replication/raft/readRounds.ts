import type { LogIndex, NodeId } from '../../base/ids.ts';

/** A read that waits for this leader to be confirmed: its own (`from` null) or one that a member forwarded. */
export interface ReadRequest {
  readonly from: NodeId | null;
  readonly requestId: number;
}

interface Round {
  readonly sequence: number;
  /** The commit index when the round started: what the reads may be served at. */
  readonly index: LogIndex;
  readonly requests: readonly ReadRequest[];
}

/**
 * The leader's reads. A round is one broadcast of heartbeats that carry its sequence number, made by this leader and
 * never used again in this term; an answer confirms its own round and the older ones, never a younger one.
 */
export class ReadRounds {
  #waiting: ReadRequest[] = [];
  #rounds: Round[] = [];
  #latest = 0;
  readonly #acknowledged = new Map<NodeId, number>();

  /** The round that heartbeats carry now; 0 before the first. */
  get latest(): number {
    return this.#latest;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  get roundCount(): number {
    return this.#rounds.length;
  }

  /** Everything not answered yet. */
  get pendingCount(): number {
    return this.#rounds.reduce((sum, round) => sum + round.requests.length, this.#waiting.length);
  }

  add(request: ReadRequest): void {
    this.#waiting.push(request);
  }

  /** All waiting reads become one round at `index`. */
  start(index: LogIndex): void {
    this.#latest += 1;
    this.#rounds.push({ sequence: this.#latest, index, requests: this.#waiting });
    this.#waiting = [];
  }

  acknowledge(from: NodeId, sequence: number): void {
    this.#acknowledged.set(from, Math.max(this.acknowledgedBy(from), sequence));
  }

  acknowledgedBy(nodeId: NodeId): number {
    return this.#acknowledged.get(nodeId) ?? 0;
  }

  /** Takes the rounds up to `sequence`, oldest first. */
  takeConfirmed(sequence: number): readonly Round[] {
    let count = 0;
    while ((this.#rounds[count]?.sequence ?? Number.POSITIVE_INFINITY) <= sequence) count += 1;
    return this.#rounds.splice(0, count);
  }

  /** The leadership is over: gives back what was not answered. */
  clear(): ReadRequest[] {
    const unanswered = [...this.#rounds.flatMap((round) => round.requests), ...this.#waiting];
    this.#waiting = [];
    this.#rounds = [];
    this.#acknowledged.clear();
    this.#latest = 0;
    return unanswered;
  }
}
