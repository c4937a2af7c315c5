/** The shapes of proto/holdfast/peer/v1/peer.proto. */
import { codec, serviceDefinition } from './registry.ts';
import type { Member, StoredConfiguration } from './storage.ts';

type Unset = null | undefined;

/** First the one, then the other; the field that is not meant is empty. */
export interface ProofStep {
  readonly statement: Uint8Array;
  readonly proof: Uint8Array;
}

export interface PeerStatement {
  readonly format: number;
  readonly nonce: Uint8Array;
  readonly clusterId: string;
  readonly storeId: string;
  readonly nodeId: string;
  readonly keyringGeneration: number;
  readonly controlKeyFingerprint: string;
  readonly controlKeyFingerprints: readonly string[];
  readonly encryption: string;
  readonly jwtSecretFingerprint: string;
  readonly jwtSecretFingerprints: readonly string[];
  readonly starts: number;
  readonly process: Uint8Array;
  readonly term: number;
}

export interface PeerFrame {
  readonly messages: readonly RaftMessage[];
  readonly wallMs: number;
  readonly forwards: readonly Forward[];
  /** host:port, or empty. */
  readonly address: string;
  readonly announcement?: Announcement | Unset;
}

export interface PrepareKeyRequest {
  readonly changeId: string;
  readonly newFingerprint: string;
  readonly wrapped: Uint8Array;
  readonly nonce: Uint8Array;
  readonly wanted: boolean;
}

export interface PrepareKeyResponse {
  readonly proof: Uint8Array;
  readonly wrapped: Uint8Array;
}

export interface Announcement {
  readonly checkpoints: readonly Checkpoint[];
  readonly lowSpace: boolean;
  readonly stateMissing: boolean;
  readonly trustedAuthorities: readonly Uint8Array[];
  readonly ownAuthority: Uint8Array;
  readonly term: number;
  readonly processes: readonly HeardProcess[];
}

export interface HeardProcess {
  readonly nodeId: string;
  readonly starts: number;
  readonly process: Uint8Array;
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

export interface RenewRequest {
  readonly nodeId: string;
  readonly csr: Uint8Array;
  readonly hosts: readonly string[];
}

export interface RenewResponse {
  readonly certificate: Uint8Array;
  readonly authorityCertificate: Uint8Array;
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
  readonly nonce: Uint8Array;
  readonly controlKeyFingerprints: readonly string[];
  readonly jwtSecretFingerprints: readonly string[];
  /** Empty: whatever the cluster has. */
  readonly encryption: string;
}

/** First the one, then the other; the field that is not meant is empty. */
export interface JoinerStep {
  readonly request: Uint8Array;
  readonly proof: Uint8Array;
}

/** First the challenge, then response and proof; what is not meant is empty. */
export interface ClusterStep {
  readonly challenge: Uint8Array;
  readonly response: Uint8Array;
  readonly proof: Uint8Array;
}

export interface JoinChallenge {
  readonly format: number;
  readonly nonce: Uint8Array;
  readonly clusterId: string;
  readonly storeId: string;
  readonly controlKeyFingerprint: string;
  readonly jwtSecretFingerprint: string;
  readonly encryption: string;
}

export interface JoinResponse {
  readonly clusterId: string;
  readonly storeId: string;
  readonly authorityCertificate: Uint8Array;
  readonly nodeCertificate: Uint8Array;
  readonly keyring: Uint8Array;
  readonly members: readonly Member[];
  readonly role: string;
  readonly trustedAuthorities: readonly Uint8Array[];
}

export const peerService = serviceDefinition('holdfast.peer.v1.Peer');
export const joinService = serviceDefinition('holdfast.peer.v1.Join');
export const raftMessageCodec = codec<RaftMessage>('holdfast.peer.v1.RaftMessage');
export const peerFrameCodec = codec<PeerFrame>('holdfast.peer.v1.PeerFrame');
export const joinRequestCodec = codec<JoinRequest>('holdfast.peer.v1.JoinRequest');
export const joinChallengeCodec = codec<JoinChallenge>('holdfast.peer.v1.JoinChallenge');
export const joinResponseCodec = codec<JoinResponse>('holdfast.peer.v1.JoinResponse');
export const proofStepCodec = codec<ProofStep>('holdfast.peer.v1.ProofStep');
export const peerStatementCodec = codec<PeerStatement>('holdfast.peer.v1.PeerStatement');
