import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import { membersOf } from '../raft/configuration.ts';
import type { Configuration } from '../raft/types.ts';
import type { PeerTransport } from '../transport/types.ts';

/**
 * With whom the transport keeps connections: the members, and whoever speaks to us without being one as far as we
 * know. A node that has just joined, or slept through a change, knows no other way to answer its leader.
 */
export class PeerSet {
  readonly #transport: PeerTransport;
  readonly #peerAddress: (nodeId: NodeId) => string | null;
  #members: ReadonlySet<NodeId> = new Set();
  #others = new Set<NodeId>();

  constructor(transport: PeerTransport, peerAddress: (nodeId: NodeId) => string | null) {
    this.#transport = transport;
    this.#peerAddress = peerAddress;
  }

  configured(configuration: Configuration): void {
    this.#members = new Set(membersOf(configuration));
    // Whoever still speaks to us is heard again.
    this.#others = new Set();
    this.#transport.setPeers([...this.#members]);
  }

  heard(nodeId: NodeId): void {
    if (this.#members.has(nodeId) || this.#others.has(nodeId)) return;
    if (this.#others.size >= LIMITS.membersMax || this.#peerAddress(nodeId) === null) return;
    this.#others.add(nodeId);
    this.#transport.setPeers([...this.#members, ...this.#others]);
  }
}
