/** The shapes of proto/holdfast/v1/kv.proto. Operations and key ranges are the stored ones, field for field. */
import { serviceDefinition } from './registry.ts';
import type { Compare, KeyRange, KeyValue, Operation, OperationOutcome, RequestId } from './storage.ts';

type Unset = null | undefined;

export interface PutRequest {
  readonly request?: RequestId | Unset;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly previous: boolean;
}
export interface PutResponse {
  readonly revision: number;
  readonly previous?: KeyValue | Unset;
  readonly replayed: boolean;
}
export interface GetRequest {
  readonly key: Uint8Array;
  readonly revision: number;
  readonly serializable: boolean;
}
export interface GetResponse {
  readonly revision: number;
  readonly item?: KeyValue | Unset;
}
export interface DeleteRequest {
  readonly request?: RequestId | Unset;
  readonly range: KeyRange | Unset;
  readonly previous: boolean;
}
export interface DeleteResponse {
  readonly revision: number;
  readonly deleted: number;
  readonly previous: readonly KeyValue[];
  readonly replayed: boolean;
}
export interface RangeRequest {
  readonly range: KeyRange | Unset;
  readonly limit: number;
  readonly pageToken: Uint8Array;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly revision: number;
  readonly serializable: boolean;
}
export interface RangeResponse {
  readonly revision: number;
  readonly items: readonly KeyValue[];
  readonly count: number;
  readonly nextPageToken: Uint8Array;
}
export interface TxnRequest {
  readonly request?: RequestId | Unset;
  readonly compares: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}
export interface TxnResponse {
  readonly revision: number;
  readonly succeeded: boolean;
  readonly operations: readonly OperationOutcome[];
  readonly replayed: boolean;
}
export interface HistoryRequest {
  readonly key: Uint8Array;
  readonly limit: number;
  readonly keysOnly: boolean;
}
export interface HistoryResponse {
  readonly revision: number;
  readonly versions: readonly Version[];
  readonly compactedRevision: number;
}
export interface Version {
  readonly item: KeyValue | Unset;
  readonly deleted: boolean;
  readonly timeMs: number;
}
export interface CompactRequest {
  readonly revision: number;
}
export interface CompactResponse {
  readonly revision: number;
}
export type RegisterClientRequest = object;
export interface RegisterClientResponse {
  readonly clientId: number;
}
export interface CloseClientRequest {
  readonly clientId: number;
}
export interface WatchRequest {
  readonly create?: WatchCreate | Unset;
  readonly cancel?: { readonly watchId: number } | Unset;
}
export interface WatchCreate {
  readonly watchId: number;
  readonly range: KeyRange | Unset;
  readonly startRevision: number;
  readonly previous: boolean;
  readonly progress: boolean;
}
export interface WatchResponse {
  readonly watchId: number;
  readonly revision: number;
  readonly created: boolean;
  readonly events: readonly WatchEvent[];
  readonly cancelled?: ApiFailure | Unset;
  readonly resumeRevision: number;
}
export const EVENT_TYPE = { PUT: 0, DELETE: 1 } as const;
export interface WatchEvent {
  /** One of EVENT_TYPE. */
  readonly type: number;
  readonly item: KeyValue | Unset;
  readonly previous?: KeyValue | Unset;
  /** The values are not told: to read them leaves a record. */
  readonly withheld?: boolean;
}
export interface ApiFailure {
  readonly code: string;
  readonly message: string;
  readonly field: string;
  readonly hint: string;
  /** host:port of the leader's API, or empty. */
  readonly leader: string;
}
export interface SessionRequest {
  readonly calls: readonly Call[];
}
/** Exactly one request is set. */
export interface Call {
  readonly id: number;
  readonly timeoutMs: number;
  readonly put?: PutRequest | Unset;
  readonly get?: GetRequest | Unset;
  readonly delete?: DeleteRequest | Unset;
  readonly range?: RangeRequest | Unset;
  readonly txn?: TxnRequest | Unset;
  readonly registerClient?: RegisterClientRequest | Unset;
}
export interface SessionResponse {
  readonly answers: readonly Answer[];
}
/** Exactly one response is set. */
export interface Answer {
  readonly id: number;
  readonly put?: PutResponse | Unset;
  readonly get?: GetResponse | Unset;
  readonly delete?: DeleteResponse | Unset;
  readonly range?: RangeResponse | Unset;
  readonly txn?: TxnResponse | Unset;
  readonly registerClient?: RegisterClientResponse | Unset;
  readonly failure?: ApiFailure | Unset;
}

export const kvService = serviceDefinition('holdfast.v1.Kv');
