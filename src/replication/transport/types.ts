import type { Client, ServerDuplexStream } from '@grpc/grpc-js';
import type { HoldfastError } from '../../base/errors.ts';
import type { LogIndex, NodeId } from '../../base/ids.ts';
import type { ProofStep } from '../../proto/peer.ts';
import type { DropReason } from '../raft/options.ts';
import type { Message, MessageType } from '../raft/types.ts';
import type { StateSnapshot } from '../replicatedLog.ts';

/** What a node says to its peers. Everything is best effort but `pullSnapshot`: Raft lives with lost messages. */
export interface PeerTransport {
  /** From here on `receiver` is called. Called once. */
  start(receiver: PeerReceiver): void;
  /** With whom to keep connections; connections to all others are given up. */
  setPeers(nodeIds: readonly NodeId[]): void;
  /** Queues the messages by their `to`. A full queue drops its oldest message. */
  send(messages: readonly Message[]): void;
  /** False: not a peer, or its queue is full. */
  forward(to: NodeId, forward: { readonly sequence: number; readonly envelope: Uint8Array }): boolean;
  /** Tells the sender of a forward that nothing of it was proposed. */
  refuseForward(to: NodeId, sequence: number): void;
  /**
   * Opens a snapshot at or above `index` at that node. The rows come as `rows()` is read.
   * @throws HoldfastError UNAVAILABLE, CLUSTER_MISMATCH, VERSION_UNSUPPORTED, STATE_CORRUPT
   */
  pullSnapshot(request: { readonly from: NodeId; readonly index: LogIndex }): Promise<StateSnapshot>;
  close(): Promise<void>;
}

/** Where the transport delivers. Every sender is a member now and proved its identity. */
export interface PeerReceiver {
  /** Returns those of which nothing was believed, since no peer in order sends them. */
  messages(messages: readonly Message[]): readonly RefusedMessage[];
  forwarded(forward: {
    readonly from: NodeId;
    readonly sequence: number;
    readonly envelope: Uint8Array;
  }): void;
  forwardRefused(refusal: { readonly from: NodeId; readonly sequence: number }): void;
  /** How far the wall clock of `nodeId` is ahead of ours, milliseconds; late by the way of the frame. */
  clockHeard(heard: { readonly nodeId: NodeId; readonly aheadMs: number }): void;
  openSnapshot(): Promise<StateSnapshot>;
}

export interface RefusedMessage {
  readonly type: MessageType;
  readonly reason: DropReason;
}

/** PEM. A node's certificate carries its node id; `authorityCertificate` holds the only roots, one or more. */
export interface PeerCredentials {
  readonly certificate: Buffer;
  readonly privateKey: Buffer;
  readonly authorityCertificate: Buffer;
}

/** The node that a certificate (DER) speaks for, or null. The chain has been verified before it is asked. */
export type IdentifyNode = (certificate: Buffer) => NodeId | null;

/** What this node says of its own store, and expects of a snapshot. */
export interface StoreIdentity {
  readonly clusterId: string;
  readonly storeId: string;
  /** Version of the stored format. */
  readonly format: number;
}

/** A TLS connection of two nodes that have shown certificates of the cluster. */
export interface PeerConnection {
  readonly peerId: NodeId;
  /** DER, as this node has shown it on the connection. */
  readonly ownCertificate: Uint8Array;
  /** DER, as the other has. */
  readonly peerCertificate: Uint8Array;
}

/** The answering side of one connection. */
export interface PeerGate {
  /** The caller has proved itself: it may say more. */
  readonly isOpen: boolean;
  /**
   * The method Prove; steps come as bytes. Resolves, and never rejects, with why the caller has not proved itself, or null.
   */
  readonly answer: (call: ServerDuplexStream<Buffer, ProofStep>) => Promise<HoldfastError | null>;
  /** Something that the caller said was taken. */
  readonly spoke: () => void;
  /** The connection has ended, closed by this node or by the other one. */
  readonly closed: (from: 'here' | 'there') => void;
}

/** How nodes prove to each other, on every connection, that they hold what members hold: before anything else is said. */
export interface PeerTrust {
  /**
   * Calling side, on the one connection of `client`; `connection` is asked once that stands.
   * @returns whether the process that has answered may be spoken to still
   * @throws HoldfastError
   */
  prove(
    client: Client,
    peer: { readonly peerId: NodeId; readonly connection: () => PeerConnection },
  ): Promise<() => boolean>;
  gateFor(connection: PeerConnection): PeerGate;
}

/** Names of the unary methods of the service Peer. */
export type PeerMethod = 'prepareKey' | 'renew';

/** What members ask each other, beside the log. Answers; rejects with what gRPC sends as the call's status. */
export type PeerMethods = Readonly<
  Record<PeerMethod, (connection: PeerConnection, request: object) => Promise<object>>
>;
