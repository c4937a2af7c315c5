/** The shapes of proto/holdfast/v1/audit.proto, which says what the fields mean. */
import type {
  AlertSettings,
  AuditSettings,
  ChainedRecordFields,
  FormerRetention,
  KeptCheckpoint,
} from './audit.ts';
import { serviceDefinition } from './registry.ts';

type Unset = null | undefined;

export interface AuditListRequest {
  readonly fromSequence: number;
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly limit: number;
  readonly principal: string;
  readonly action: string;
  readonly resource: string;
  readonly result: string;
}

export interface AuditListResponse {
  readonly records: readonly AuditEntry[];
  readonly nextSequence: number;
}

export type AuditEntry = ChainedRecordFields;

export interface AuditHeadRequest {
  readonly sequence: number;
}

export interface AuditHeadResponse {
  readonly sequence: number;
  /** 32 bytes. */
  readonly hash: Uint8Array;
  readonly checkpoint?: KeptCheckpoint | Unset;
  readonly node: string;
}

export interface GetAuditSettingsResponse extends AuditSettings {
  readonly former: FormerRetention | Unset;
}

export interface GetAlertsResponse {
  readonly settings: AlertSettings | Unset;
  /** Sequences of audit records. */
  readonly evaluated: number;
  readonly delivered: number;
  readonly head: number;
}

export const auditService = serviceDefinition('holdfast.v1.Audit');
