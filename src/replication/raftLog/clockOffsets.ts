import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import { isVoter, membersOf } from '../raft/configuration.ts';
import type { Configuration } from '../raft/types.ts';
import type { VoterClocks } from '../replicatedLog.ts';

export interface ClockOffset {
  readonly nodeId: NodeId;
  readonly aheadMs: number;
}

/** How far the clocks of other nodes are ahead of ours, as last heard. */
export class ClockOffsets {
  readonly #aheadMs = new Map<NodeId, number>();

  heard({ nodeId, aheadMs }: ClockOffset): void {
    if (this.#aheadMs.size < LIMITS.membersMax || this.#aheadMs.has(nodeId)) {
      this.#aheadMs.set(nodeId, aheadMs);
    }
  }

  /** Clocks of those who left would take up the room of those who come. */
  configured(configuration: Configuration): void {
    const members = new Set(membersOf(configuration));
    for (const nodeId of this.#aheadMs.keys()) if (!members.has(nodeId)) this.#aheadMs.delete(nodeId);
  }

  ofVoters(configuration: Configuration, ownId: NodeId): VoterClocks {
    const othersAheadMs: number[] = [];
    for (const [nodeId, aheadMs] of this.#aheadMs) {
      if (nodeId !== ownId && isVoter(configuration, nodeId)) othersAheadMs.push(aheadMs);
    }
    return { voterCount: configuration.voters.length, othersAheadMs };
  }
}
