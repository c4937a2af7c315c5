import type { Clock } from '../base/clock.ts';
import type { NodeId, Term } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { HeardProcess } from '../proto/peer.ts';
import { type NodeProcess, type ProcessClaim, ProcessesOfNode } from './processesOfNode.ts';

/**
 * Which process of each member has the word here. A member that comes back has been started more often than before; a
 * copy of its data directory, or an old backup put in its place, runs beside it, or knows less than it did, and must not
 * vote or acknowledge in its name. Members tell each other whom they hear, since each of them may have met another one
 * first. What was heard is forgotten at a restart.
 */
export class NodeProcesses {
  readonly #clock: Clock;
  /** Only of nodes that have proved themselves: as many as there have been members. */
  readonly #nodes = new Map<NodeId, ProcessesOfNode>();

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
  }

  /**
   * A process has proved itself, on either end of a connection.
   * @throws HoldfastError NODE_ID_REUSED, INVALID_ARGUMENT as ProcessesOfNode.admit
   */
  admit(nodeId: NodeId, claim: ProcessClaim): void {
    const nowMs = this.#clock.monotonicMs();
    const known = this.#nodes.get(nodeId);
    if (known === undefined) this.#nodes.set(nodeId, new ProcessesOfNode(nodeId, { claim, nowMs }));
    else known.admit(claim, nowMs);
  }

  /** It has the word, and nobody disputes it. */
  isHeard(nodeId: NodeId, run: NodeProcess): boolean {
    return this.#nodes.get(nodeId)?.isHeard(run, this.#clock.monotonicMs()) === true;
  }

  /** A connection of it that it has proved itself on. */
  opened(nodeId: NodeId, run: NodeProcess): void {
    this.#nodes.get(nodeId)?.opened(run);
  }

  /** The end of a connection that was `opened`, and which side has closed it. */
  closed(nodeId: NodeId, run: NodeProcess, from: 'here' | 'there'): void {
    this.#nodes.get(nodeId)?.closed(run, from);
  }

  /** It has said something that was taken. */
  spoke(nodeId: NodeId, run: NodeProcess): void {
    this.#nodes.get(nodeId)?.spoke(run, this.#clock.monotonicMs());
  }

  /** For the other members: who is heard here now, and who would be if they did not dispute it. */
  get present(): readonly HeardProcess[] {
    const nowMs = this.#clock.monotonicMs();
    const present = [...this.#nodes].flatMap(([nodeId, known]): HeardProcess[] =>
      known.isPresent(nowMs) ? [{ nodeId, starts: known.run.starts, process: known.run.process }] : [],
    );
    return present.slice(0, LIMITS.membersMax);
  }

  /** A member that is heard here tells its durable term, and whom it hears. */
  told(from: NodeId, { term, processes }: { term: Term; processes: readonly HeardProcess[] }): void {
    const nowMs = this.#clock.monotonicMs();
    this.#nodes.get(from)?.reached(term);
    for (const { nodeId, starts, process } of processes)
      this.#nodes.get(nodeId as NodeId)?.elsewhere({ starts, process }, nowMs);
  }
}
