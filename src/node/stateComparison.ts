import type { Clock } from '../base/clock.ts';
import type { LogIndex, NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';

/** The digest of a whole state at an applied index: the same on every node that has applied the same log. */
export interface Checkpoint {
  readonly index: LogIndex;
  /** 32 bytes. */
  readonly digest: Uint8Array;
  /** Of the stored data: digests are compared only between nodes that store it alike. */
  readonly format: number;
}

export interface ComparedState {
  readonly nodeId: NodeId;
  readonly format: number;
  readonly clock: Clock;
  /** The index and digest of the applied state, or null while there is none. */
  readonly applied: () => { readonly index: LogIndex; readonly digest: Uint8Array } | null;
  /** In force; both sets of a joint configuration. */
  readonly voters: () => readonly NodeId[];
}

/**
 * What the comparison says of this node's state.
 * - `agreed`: a majority of the voters holds it, or nobody is known to hold another one. `differing` voters hold another.
 * - `wrong`: a majority of the voters holds one and the same other state.
 * - `undecided`: somebody differs, and no majority is known for either side.
 */
export interface Comparison {
  readonly verdict: 'agreed' | 'wrong' | 'undecided';
  /** Where somebody differs; 0: nowhere. */
  readonly index: LogIndex;
  readonly differing: readonly NodeId[];
}

const AGREED: Comparison = { verdict: 'agreed', index: 0, differing: [] };

/**
 * Compares this node's state with that of the others, all the time. Every node notes its digest at every so-many-th
 * index, and where it stands once it has been idle for a while, and tells the others; each compares for itself. What
 * counts is the newest index at which a majority is known: what was different once and is equal now has been mended.
 */
export class StateComparison {
  readonly #state: ComparedState;
  /** Own digests by index, as latin-1, the oldest first. */
  #own = new Map<LogIndex, string>();
  /** What other voters said. */
  readonly #heard = new Map<NodeId, Map<LogIndex, string>>();
  #idleIndex: LogIndex = 0;
  #idleSinceMs: number;

  constructor(state: ComparedState) {
    this.#state = state;
    this.#idleSinceMs = state.clock.monotonicMs();
  }

  /** An entry has been applied. */
  applied(index: LogIndex): void {
    if (index % LIMITS.stateCheckpointEntries === 0) this.#note();
  }

  /** The state is another one: what was noted before says nothing of it. */
  replaced(): void {
    this.#own.clear();
    this.#note();
  }

  heard(from: NodeId, checkpoints: readonly Checkpoint[]): void {
    if (!this.#state.voters().includes(from)) return;
    const heard = this.#heard.get(from) ?? new Map<LogIndex, string>();
    for (const { index, digest, format } of checkpoints) {
      if (format !== this.#state.format) continue;
      heard.delete(index);
      heard.set(index, Buffer.from(digest).toString('latin1'));
      // Where this node stands just now it can compare without having been idle.
      if (index === this.#state.applied()?.index) this.#note();
    }
    this.#heard.set(from, newestOf(heard));
  }

  /** That node has no state any more: what it told of its earlier one is in nobody's way. */
  lost(from: NodeId): void {
    this.#heard.delete(from);
  }

  /** To be called about once a second. @returns what to tell the others */
  tick(): readonly Checkpoint[] {
    const applied = this.#state.applied();
    if (applied === null) return [];
    this.#noteWhenIdle(applied.index);
    const voters = new Set(this.#state.voters());
    for (const nodeId of this.#heard.keys()) if (!voters.has(nodeId)) this.#heard.delete(nodeId);
    const told = [...this.#own].slice(-LIMITS.stateCheckpointsTold);
    const { format } = this.#state;
    return told.map(([index, digest]) => ({ index, digest: Buffer.from(digest, 'latin1'), format }));
  }

  /** As far as everybody has been heard. */
  compare(): Comparison {
    const voters = this.#state.voters();
    const majority = Math.floor(voters.length / 2) + 1;
    let open = AGREED;
    for (const [index, digest] of [...this.#own].reverse()) {
      const { differing, agreeing, largestOther } = this.#votesAt(index, digest, voters);
      if (largestOther >= majority) return { verdict: 'wrong', index, differing };
      if (agreeing >= majority) {
        // Who was in the minority here before is no puzzle further on.
        if (open.differing.some((nodeId) => !differing.includes(nodeId))) return open;
        return differing.length === 0 ? AGREED : { verdict: 'agreed', index, differing };
      }
      if (differing.length > 0 && open === AGREED) open = { verdict: 'undecided', index, differing };
    }
    return open;
  }

  #votesAt(
    index: LogIndex,
    own: string,
    voters: readonly NodeId[],
  ): { differing: NodeId[]; agreeing: number; largestOther: number } {
    const differing: NodeId[] = [];
    const others = new Map<string, number>();
    let agreeing = 0;
    for (const voter of voters) {
      const digest = voter === this.#state.nodeId ? own : this.#heard.get(voter)?.get(index);
      if (digest === own) agreeing += 1;
      if (digest === undefined || digest === own) continue;
      differing.push(voter);
      others.set(digest, (others.get(digest) ?? 0) + 1);
    }
    return { differing, agreeing, largestOther: Math.max(0, ...others.values()) };
  }

  #noteWhenIdle(index: LogIndex): void {
    const nowMs = this.#state.clock.monotonicMs();
    if (index !== this.#idleIndex) {
      this.#idleIndex = index;
      this.#idleSinceMs = nowMs;
    } else if (nowMs - this.#idleSinceMs >= LIMITS.stateIdleCheckpointMs) {
      this.#note();
    }
  }

  #note(): void {
    const applied = this.#state.applied();
    if (applied === null) return;
    this.#own.delete(applied.index);
    this.#own.set(applied.index, Buffer.from(applied.digest).toString('latin1'));
    this.#own = newestOf(this.#own);
  }
}

/** The last ones that were put in, as many as are kept. */
function newestOf(digests: Map<LogIndex, string>): Map<LogIndex, string> {
  return new Map([...digests].slice(-LIMITS.stateCheckpointsKept));
}
