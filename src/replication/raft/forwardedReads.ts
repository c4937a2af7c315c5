import type { NodeId } from '../../base/ids.ts';
import type { RandomSource } from '../../base/random.ts';

interface Forwarded {
  readonly requestId: number;
  readonly leader: NodeId;
  readonly expiresTick: number;
}

/**
 * The reads that a follower has asked its leader about. Each travels under a number that starts at random when the
 * process starts, so that a late answer to a read from before a restart confirms nothing.
 */
export class ForwardedReads {
  #nextWireId: number;
  readonly #waiting = new Map<number, Forwarded>();

  constructor(random: RandomSource) {
    this.#nextWireId = random.bytes(6).readUIntBE(0, 6);
  }

  get count(): number {
    return this.#waiting.size;
  }

  /** Returns the number to send. */
  add(forwarded: Forwarded): number {
    const wireId = this.#nextWireId;
    this.#nextWireId += 1;
    this.#waiting.set(wireId, forwarded);
    return wireId;
  }

  /** The request that this answer from `leader` is for; null for late, doubled or foreign answers. */
  take(wireId: number, leader: NodeId): number | null {
    const forwarded = this.#waiting.get(wireId);
    if (forwarded === undefined || forwarded.leader !== leader) return null;
    this.#waiting.delete(wireId);
    return forwarded.requestId;
  }

  /** The requests whose time is up; insertion order is order of expiry. */
  takeExpired(tick: number): number[] {
    const expired: number[] = [];
    for (const [wireId, forwarded] of this.#waiting) {
      if (forwarded.expiresTick > tick) break;
      this.#waiting.delete(wireId);
      expired.push(forwarded.requestId);
    }
    return expired;
  }

  /** The leader is gone: gives back all requests. */
  clear(): number[] {
    const requests = [...this.#waiting.values()].map((forwarded) => forwarded.requestId);
    this.#waiting.clear();
    return requests;
  }
}
