/** Shapes of holdfast/storage/v1/audit.proto. */
import { codec } from './registry.ts';

/** What one audit record says; a test holds it against the .proto file, which says what the fields mean. */
export interface AuditRecord {
  readonly principalKind: string;
  readonly principal: string;
  readonly session: string;
  readonly address: string;
  readonly node: string;
  readonly action: string;
  readonly resource: Uint8Array;
  readonly resourceEnd: Uint8Array;
  readonly result: string;
  readonly requestId: string;
  readonly revision: number;
  readonly count: number;
  readonly detail: string;
}

/** A record with its place in the chain. */
export interface ChainedRecordFields extends AuditRecord {
  readonly sequence: number;
  readonly timeMs: number;
  readonly index: number;
  /** 32 bytes each. */
  readonly previousHash: Uint8Array;
  readonly hash: Uint8Array;
}

export interface AuditRow {
  readonly index: number;
  readonly timeMs: number;
  readonly previousHash: Uint8Array;
  readonly records: readonly AuditRecord[];
}

export const auditRowCodec = codec<AuditRow>('holdfast.storage.v1.AuditRow');
