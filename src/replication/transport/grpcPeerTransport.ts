import { type Clock, systemClock } from '../../base/clock.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { LogIndex, NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Logger } from '../../base/logger.ts';
import type { RandomSource } from '../../base/random.ts';
import type { Announcement } from '../../proto/peer.ts';
import type { Message, MessageType } from '../raft/types.ts';
import type { StateSnapshot } from '../replicatedLog.ts';
import { askPeer } from './askPeer.ts';
import { PeerChannel } from './peerChannel.ts';
import { type Dialled, PeerDialer } from './peerDialing.ts';
import { outgoingForward } from './peerQueue.ts';
import { PeerServer, type StrangerServiceFor } from './peerServer.ts';
import { peerServiceFor } from './peerService.ts';
import { type RefusalReason, Refusals } from './refusals.ts';
import { pullSnapshot } from './snapshotPull.ts';
import { SnapshotServer } from './snapshotServer.ts';
import type {
  IdentifyNode,
  PeerCredentials,
  PeerMethod,
  PeerMethods,
  PeerReceiver,
  PeerTransport,
  PeerTrust,
  StoreIdentity,
} from './types.ts';

export interface GrpcPeerTransportOptions {
  readonly nodeId: NodeId;
  readonly store: StoreIdentity;
  readonly host: string;
  /** 0: any free port; see `port`. */
  readonly port: number;
  readonly credentials: PeerCredentials;
  readonly identify: IdentifyNode;
  readonly trust: PeerTrust;
  readonly methods: PeerMethods;
  /** May this node speak to us now? Removed ids may not. Asked for each frame. */
  readonly isMember: (nodeId: NodeId) => boolean;
  /** host:port where a member listens for peers; null: not known. */
  readonly peerAddress: (nodeId: NodeId) => string | null;
  /** host:port where this node says that it listens; told in every frame. */
  readonly ownAddress?: string;
  /** Where a sender says that it listens, for senders that `peerAddress` does not know. */
  readonly onAddress?: (heard: { readonly nodeId: NodeId; readonly address: string }) => void;
  /** What another node announces. */
  readonly onAnnouncement?: (heard: { readonly nodeId: NodeId; readonly announcement: Announcement }) => void;
  /** How long a connection, and a stream in it, may say nothing at first. Default: LIMITS.peerHandshakeTimeoutMs. */
  readonly firstWordMs?: number;
  /** How long a snapshot may be read from this node. Default: LIMITS.snapshotPullDeadlineMs. */
  readonly snapshotDeadlineMs?: number;
  /** What a connection without a node's certificate reaches: Join. */
  readonly strangerServiceFor: StrangerServiceFor;
  readonly clock?: Clock;
  readonly random: RandomSource;
  readonly logger: Logger;
}

/**
 * Entries travel behind each other on their own connection, so that no heartbeat waits behind them. The news that they
 * are committed goes the same way: it is worth nothing to who gets it first.
 */
const BULK_TYPES: ReadonlySet<MessageType> = new Set(['append', 'commit']);

interface Peer {
  readonly control: PeerChannel;
  readonly bulk: PeerChannel;
}

export class GrpcPeerTransport implements PeerTransport {
  readonly #options: GrpcPeerTransportOptions;
  readonly #clock: Clock;
  readonly #dialer: PeerDialer;
  readonly #refusals: Refusals;
  readonly #peers = new Map<NodeId, Peer>();
  readonly #closing = new AbortController();
  #server: PeerServer | null = null;
  #receiver: PeerReceiver | null = null;
  #judging: NodeJS.Timeout | null = null;

  private constructor(options: GrpcPeerTransportOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#dialer = new PeerDialer(options);
    this.#refusals = new Refusals({ logger: options.logger, clock: this.#clock });
  }

  /** Listens at once, so that the port is known; delivers from `start` on. @throws HoldfastError PORT_IN_USE, UNAVAILABLE */
  static async listen(options: GrpcPeerTransportOptions): Promise<GrpcPeerTransport> {
    const transport = new GrpcPeerTransport(options);
    const { nodeId, store, logger, isMember, firstWordMs = LIMITS.peerHandshakeTimeoutMs } = options;
    const { snapshotDeadlineMs: deadlineMs = LIMITS.snapshotPullDeadlineMs } = options;
    const refusals = transport.#refusals;
    const snapshots = new SnapshotServer({ store, refusals, logger, deadlineMs });
    transport.#server = await PeerServer.listen({
      ...options,
      refusals,
      firstWordMs,
      serviceFor: (connection, port) =>
        peerServiceFor({
          connection,
          port,
          gate: options.trust.gateFor(connection),
          methods: options.methods,
          nodeId,
          isMember,
          receiver: () => transport.#receiver,
          snapshots,
          clock: transport.#clock,
          refusals,
          firstWordMs,
          onAddress: options.onAddress ?? (() => undefined),
          onAnnouncement: options.onAnnouncement ?? (() => undefined),
          onStream: (opener) => transport.#appeared(opener),
        }),
    });
    transport.#judging = setInterval(() => transport.#judge(), LIMITS.peerJudgeIntervalMs);
    return transport;
  }

  get port(): number {
    return this.#server?.port ?? 0;
  }

  /** What the port turned away, by reason; for metrics. */
  get refused(): ReadonlyMap<RefusalReason, number> {
    return this.#refusals.counts;
  }

  /** For status: which peers a control stream is open to, and what waits for them. */
  peers(): { nodeId: NodeId; connected: boolean; queuedBytes: number; dropped: number }[] {
    return [...this.#peers].map(([nodeId, { control, bulk }]) => ({
      nodeId,
      connected: control.connected,
      queuedBytes: control.queue.bytes + bulk.queue.bytes,
      dropped: control.queue.dropped + bulk.queue.dropped,
    }));
  }

  /** A renewed certificate, for connections from now on; where other CAs are trusted, also of those that stand. */
  renew(credentials: PeerCredentials): void {
    this.#dialer.renew(credentials);
    this.#server?.renew(credentials);
  }

  start(receiver: PeerReceiver): void {
    this.#receiver = receiver;
  }

  setPeers(nodeIds: readonly NodeId[]): void {
    const wanted = new Set(nodeIds.filter((nodeId) => nodeId !== this.#options.nodeId));
    for (const [nodeId, peer] of this.#peers) {
      if (wanted.has(nodeId)) {
        peer.control.addressChanged();
        peer.bulk.addressChanged();
      } else {
        this.#peers.delete(nodeId);
        closePeer(peer);
      }
    }
    for (const nodeId of wanted) {
      if (!this.#peers.has(nodeId)) this.#peers.set(nodeId, this.#connect(nodeId));
    }
  }

  send(messages: readonly Message[]): void {
    const touched = new Set<PeerChannel>();
    for (const message of messages) {
      const peer = this.#peers.get(message.to);
      if (peer === undefined) continue;
      const channel = BULK_TYPES.has(message.type) ? peer.bulk : peer.control;
      channel.push(message);
      touched.add(channel);
    }
    for (const channel of touched) channel.flush();
  }

  /** Tells every peer that is connected now. Best effort: it is told again before long. */
  announce(announcement: Announcement): void {
    for (const { control } of this.#peers.values()) control.announce(announcement);
  }

  forward(to: NodeId, forward: { readonly sequence: number; readonly envelope: Uint8Array }): boolean {
    return this.#forward(to, { ...forward, refused: false });
  }

  refuseForward(to: NodeId, sequence: number): void {
    this.#forward(to, { sequence, envelope: new Uint8Array(0), refused: true });
  }

  async pullSnapshot({ from, index }: { from: NodeId; index: LogIndex }): Promise<StateSnapshot> {
    return await pullSnapshot(this.#dialNow(from), {
      index,
      nodeId: this.#options.nodeId,
      store: this.#options.store,
      deadlineMs: LIMITS.snapshotPullDeadlineMs,
      signal: this.#closing.signal,
    });
  }

  /**
   * Asks another member, over a connection of its own.
   * @throws HoldfastError UNAVAILABLE, or why either does not prove itself; ServiceError as the other side says
   */
  async ask<Response extends object>(
    to: NodeId,
    { method, request }: { readonly method: PeerMethod; readonly request: object },
  ): Promise<Response> {
    return await askPeer<Response>(this.#dialNow(to), { method, request, clock: this.#clock });
  }

  async close(): Promise<void> {
    this.#receiver = null;
    if (this.#judging !== null) clearInterval(this.#judging);
    this.#closing.abort();
    for (const peer of this.#peers.values()) closePeer(peer);
    this.#peers.clear();
    await this.#server?.close();
  }

  /** What a connection was opened by may end, though nothing is said on it. */
  #judge(): void {
    const wallMs = this.#clock.wallMs();
    this.#server?.judge(wallMs);
    this.#dialer.judge(wallMs);
  }

  /** @throws HoldfastError UNAVAILABLE */
  #dialNow(nodeId: NodeId): Dialled {
    const address = this.#options.peerAddress(nodeId);
    if (address !== null) return this.#dialer.dial(nodeId, address);
    throw new HoldfastError('UNAVAILABLE', `the peer address of node ${nodeId} is not known`);
  }

  #appeared(nodeId: NodeId): void {
    const peer = this.#peers.get(nodeId);
    peer?.control.peerAppeared();
    peer?.bulk.peerAppeared();
  }

  #forward(
    to: NodeId,
    forward: { readonly sequence: number; readonly envelope: Uint8Array; readonly refused: boolean },
  ): boolean {
    const channel = this.#peers.get(to)?.bulk;
    if (channel === undefined || !channel.connected) return false;
    const taken = channel.pushForward(outgoingForward(this.#options.nodeId, forward));
    channel.flush();
    return taken;
  }

  #connect(peerId: NodeId): Peer {
    const { random, logger, peerAddress } = this.#options;
    const base = {
      peerId,
      address: () => peerAddress(peerId),
      ownAddress: this.#options.ownAddress ?? '',
      dialer: this.#dialer,
      clock: this.#clock,
      random,
      logger,
    };
    return {
      control: new PeerChannel({ ...base, lane: 'control' }),
      bulk: new PeerChannel({ ...base, lane: 'bulk' }),
    };
  }
}

function closePeer(peer: Peer): void {
  peer.control.close();
  peer.bulk.close();
}
