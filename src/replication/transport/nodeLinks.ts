import { X509Certificate } from 'node:crypto';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { PortRefusal, Refusals } from './refusals.ts';
import type { IdentifyNode, PeerConnection } from './types.ts';

/** A connection to this node whose certificate names a node of the cluster. */
export interface NodeLink {
  readonly connection: PeerConnection;
  /** Why nothing is heard on it now, or null. */
  readonly refusal: () => PortRefusal | null;
  /** Closes it when what is being answered has been sent. */
  readonly end: () => void;
  /** Closes it at once. */
  readonly cut: () => void;
}

/**
 * The connections of nodes, those that have proved themselves and those that have not: how many there may be, and which
 * have to end though nothing is said on them. Who holds a certificate and no key takes no place of who has proved itself.
 */
export class NodeLinks {
  readonly #identify: IdentifyNode;
  readonly #refusals: Refusals;
  /** Oldest first, as in the next one. */
  readonly #unproved = new Set<NodeLink>();
  /** With the end of the certificate that was shown, on the wall clock. */
  readonly #proved = new Map<NodeLink, number>();

  constructor(options: { readonly identify: IdentifyNode; readonly refusals: Refusals }) {
    this.#identify = options.identify;
    this.#refusals = options.refusals;
  }

  add(link: NodeLink): void {
    this.#unproved.add(link);
    const own = ofNode(this.#unproved.keys(), link.connection.peerId);
    if (own.length > LIMITS.peerConnectionsPerNodeMax) this.#cut(own[0], 'nodeFull');
    else if (this.#unproved.size > LIMITS.peerUnprovedConnectionsMax)
      this.#cut(leastWanted([...this.#unproved]), 'unprovedFull');
  }

  /** Something was heard on it, which nothing is before the proof. */
  heard(link: NodeLink): void {
    if (!this.#unproved.delete(link)) return;
    this.#proved.set(link, certificateEndMs(link.connection.peerCertificate));
    const own = ofNode(this.#proved.keys(), link.connection.peerId);
    if (own.length > LIMITS.peerConnectionsPerNodeMax) this.#cut(own[0], 'nodeFull');
  }

  delete(link: NodeLink): void {
    this.#unproved.delete(link);
    this.#proved.delete(link);
  }

  /**
   * Ends those of nodes that were removed, of processes that are not heard any more, and those whose certificate has
   * ended. Called about once a second: a timer for each would be over the longest that there is.
   */
  judge(wallMs: number): void {
    for (const [link, endMs] of this.#proved) {
      const reason = link.refusal();
      if (wallMs > endMs) this.#cut(link, 'expiredCertificate');
      else if (reason !== null) {
        this.#count(link, reason);
        this.delete(link);
        link.end();
      }
    }
  }

  /** Who is trusted has changed: ends those whose certificate names no node any more. */
  identifyAnew(): void {
    for (const link of [...this.#unproved, ...this.#proved.keys()]) {
      const { peerId, peerCertificate } = link.connection;
      if (this.#identify(Buffer.from(peerCertificate)) !== peerId) this.#cut(link, 'foreignCertificate');
    }
  }

  #cut(link: NodeLink | undefined, reason: PortRefusal): void {
    if (link === undefined) return;
    this.#count(link, reason);
    this.delete(link);
    link.cut();
  }

  #count({ connection: { peerId } }: NodeLink, reason: PortRefusal): void {
    this.#refusals.count(reason, { peerId });
  }
}

/** On the wall clock, of a certificate (DER). */
export function certificateEndMs(certificate: Uint8Array): number {
  return Date.parse(new X509Certificate(certificate).validTo);
}

function ofNode(links: Iterable<NodeLink>, nodeId: NodeId): readonly NodeLink[] {
  return [...links].filter(({ connection }) => connection.peerId === nodeId);
}

/** One of a removed node, or the oldest of the node that has the most: whoever opens many keeps no other one out. */
function leastWanted(links: readonly NodeLink[]): NodeLink | undefined {
  const removed = links.find((link) => link.refusal() === 'notMember');
  if (removed !== undefined) return removed;
  const counts = new Map<NodeId, number>();
  for (const { connection } of links) counts.set(connection.peerId, (counts.get(connection.peerId) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return links.find(({ connection }) => counts.get(connection.peerId) === most);
}
