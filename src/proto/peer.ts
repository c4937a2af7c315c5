/** The shapes of proto/holdfast/peer/v1/peer.proto. */
import { codec, serviceDefinition } from './registry.ts';
import type { Member, StoredConfiguration } from './storage.ts';

type Unset = null | undefined;

export interface PeerFrame {
  readonly messages: readonly RaftMessage[];
  readonly wallMs: number;
  readonly forwards: readonly Forward[];
  /** host:port, or empty. */
  readonly address: string;
  readonly announcement?: Announcement | Unset;
}

export interface Announcement {
  readonly checkpoints: readonly Checkpoint[];
  readonly lowSpace: boolean;
  readonly stateMissing: boolean;
}

/** A digest of the sender's whole state. */
export interface Checkpoint {
  readonly index: number;
  readonly digest: Uint8Array;
  readonly format: number;
}

export interface Forward {
  readonly nodeId: string;
  readonly sequence: number;
  readonly envelope: Uint8Array;
  readonly refused: boolean;
}

/** All message types in one flat shape: see transport/messageCodec.ts for which fields a type uses. */
export interface RaftMessage {
  readonly type: number;
  readonly from: string;
  readonly to: string;
  readonly term: number;
  readonly index: number;
  readonly logTerm: number;
  readonly hash: Uint8Array;
  readonly commit: number;
  readonly entries: readonly LogEntry[];
  readonly rejected: boolean;
  readonly hintIndex: number;
  readonly hintTerm: number;
  readonly round: number;
  readonly requestId: number;
  readonly transfer: boolean;
  readonly target: string;
  /** 0: none. */
  readonly suspectMark: number;
  /** 0: none. */
  readonly suspectThrough: number;
}

export interface LogEntry {
  readonly term: number;
  /** 1 normal, 2 configuration, 3 empty. */
  readonly type: number;
  readonly payload: Uint8Array;
  readonly hash: Uint8Array;
}

export interface PullSnapshotRequest {
  readonly index: number;
}

export interface SnapshotChunk {
  readonly header?: SnapshotHeader | Unset;
  readonly rows: readonly SnapshotRow[];
  readonly rowsTotal: number;
  readonly last: boolean;
}

export interface SnapshotHeader {
  readonly clusterId: string;
  readonly storeId: string;
  readonly index: number;
  readonly term: number;
  readonly hash: Uint8Array;
  readonly configuration: StoredConfiguration | Unset;
  readonly keyring: Uint8Array;
  readonly format: number;
}

export interface SnapshotRow {
  readonly key: Uint8Array;
  readonly envelope: Uint8Array;
}

export interface JoinRequest {
  readonly tokenId: string;
  readonly tokenSecret: Uint8Array;
  readonly nodeId: string;
  readonly name: string;
  readonly peerAddress: string;
  readonly apiAddress: string;
  readonly csr: Uint8Array;
  readonly format: number;
  readonly hosts: readonly string[];
}

export interface JoinResponse {
  readonly clusterId: string;
  readonly storeId: string;
  readonly authorityCertificate: Uint8Array;
  readonly nodeCertificate: Uint8Array;
  readonly keyring: Uint8Array;
  readonly members: readonly Member[];
  readonly role: string;
}

export const peerService = serviceDefinition('holdfast.peer.v1.Peer');
export const joinService = serviceDefinition('holdfast.peer.v1.Join');
export const raftMessageCodec = codec<RaftMessage>('holdfast.peer.v1.RaftMessage');
export const peerFrameCodec = codec<PeerFrame>('holdfast.peer.v1.PeerFrame');
