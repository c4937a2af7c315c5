import type { Clock } from '../base/clock.ts';
import type { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { RareLines } from '../base/rareLines.ts';
import type { RecordTrustEvent } from '../trust/trustEvent.ts';

export interface FencedMember {
  readonly nodeId: NodeId;
  readonly error: HoldfastError;
  /** On the wall clock. */
  readonly sinceMs: number;
}

interface Fence extends FencedMember {
  /** Of the monotonic clock, when it was found last. */
  readonly foundMs: number;
  /** This reason is on record. */
  readonly isRecorded: boolean;
  /** So is this one or an earlier one that it followed on. */
  readonly isKnown: boolean;
}

export interface FencingParts {
  readonly record: RecordTrustEvent;
  readonly nameOf: (nodeId: NodeId) => string;
  /** A node that was removed is nobody, not a member that is fenced. */
  readonly isRemoved: (nodeId: NodeId) => boolean;
  readonly clock: Clock;
}

/**
 * Which members do not get as far as votes, appends and reads, and why: their certificate is valid, and what they hold
 * is not what members hold. As this node has found it, or was told of itself; over with the next proof that succeeds. A
 * second process of a node is fenced beside that, and over when it asks no more.
 */
export class Fencing {
  readonly #parts: FencingParts;
  readonly #lines: RareLines;
  /** Only of nodes with a certificate of the cluster: as many as there have been members. */
  readonly #fenced = new Map<NodeId, Fence>();
  readonly #copies = new Map<NodeId, Fence>();

  constructor(parts: FencingParts) {
    this.#parts = parts;
    this.#lines = new RareLines(parts.clock);
  }

  /**
   * Recorded once per change of code or field, and of a node at most once a minute: what else the error holds, and how
   * often it comes, is up to a node that has proved nothing.
   */
  refused(nodeId: NodeId, error: HoldfastError): void {
    const { clock, record } = this.#parts;
    const fences = isCopy(error) ? this.#copies : this.#fenced;
    const before = fences.get(nodeId);
    const follows = before !== undefined && this.#stands(before);
    const goesOn = follows && isSame(before.error, error);
    const wasRecorded = goesOn && before.isRecorded;
    const isDue = !wasRecorded && this.#lines.isDue(nodeId);
    fences.set(nodeId, {
      nodeId,
      error,
      sinceMs: goesOn ? before.sinceMs : clock.wallMs(),
      foundMs: clock.monotonicMs(),
      isRecorded: wasRecorded || isDue,
      isKnown: isDue || (before?.isKnown ?? false),
    });
    if (isDue) record({ kind: 'fenced', nodeId, error });
  }

  /** Of two processes one proves itself all the while: that ends the fence of the other only when that is gone. */
  proved(nodeId: NodeId): void {
    const copy = this.#copies.get(nodeId);
    const over = [
      this.#take(this.#fenced, nodeId),
      copy !== undefined && !this.#stands(copy) && this.#take(this.#copies, nodeId),
    ];
    if (over.includes(true)) this.#parts.record({ kind: 'unfenced', nodeId });
  }

  get members(): readonly FencedMember[] {
    return [...this.#fenced.values(), ...this.#copies.values()].filter(
      (fence) => this.#stands(fence) && !this.#parts.isRemoved(fence.nodeId),
    );
  }

  /** For status, one sentence each. */
  get warnings(): readonly string[] {
    return this.members.map(({ nodeId, error }) =>
      `${this.#parts.nameOf(nodeId)} is fenced, ${error.code}: ${error.message}. ${error.hint ?? ''}`.trimEnd(),
    );
  }

  /** @returns whether its end is to be recorded */
  #take(fences: Map<NodeId, Fence>, nodeId: NodeId): boolean {
    const isKnown = fences.get(nodeId)?.isKnown === true;
    fences.delete(nodeId);
    return isKnown;
  }

  /** Of two processes one is heard all the while: that the other is gone shows in that it asks no more. */
  #stands({ error, foundMs }: Fence): boolean {
    const { clock } = this.#parts;
    return !isCopy(error) || clock.monotonicMs() - foundMs < LIMITS.fencedCopyMs;
  }
}

function isCopy({ code }: HoldfastError): boolean {
  return code === 'NODE_ID_REUSED';
}

function isSame(one: HoldfastError, other: HoldfastError): boolean {
  return one.code === other.code && one.field === other.field;
}
