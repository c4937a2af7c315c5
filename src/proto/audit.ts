/** The shapes of holdfast/storage/v1 that the audit is made of: its records, how it is set, and the reads that leave one. */
import { codec } from './registry.ts';
import type { Failure, KeyRange } from './storage.ts';

type Unset = null | undefined;

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
  readonly common: AuditRecord | Unset;
}

export const auditRowCodec = codec<AuditRow>('holdfast.storage.v1.AuditRow');

export interface ValueRead {
  readonly range: KeyRange | Unset;
  /** 0: the newest. */
  readonly revision: number;
  /** Names; 0: the page limit, or one name, which may be refused. */
  readonly limit: number;
  /** Of a later page: where it begins; else empty. */
  readonly from: Uint8Array;
  readonly history: boolean;
}

export const valueReadCodec = codec<ValueRead>('holdfast.storage.v1.ValueRead');

/** How the audit is set. */
export interface AuditSettings {
  /** Patterns of names whose values are handed out only with a record. */
  readonly reads: readonly string[];
  /** 0: for ever. */
  readonly retentionMs: number;
}

/** Also what a client asks for. */
export interface SetAuditSettings {
  readonly settings: AuditSettings | Unset;
  /** What they have to be until now; none: whatever they are. */
  readonly expected?: AuditSettings | Unset;
}

export interface AuditCheckpoint {
  readonly sequence: number;
  /** 32 bytes. */
  readonly hash: Uint8Array;
  readonly timeMs: number;
  /** DER. */
  readonly signature: Uint8Array;
}

/** As the state has it: with the CA (DER) that has signed it, which may have been replaced since. */
export interface KeptCheckpoint extends AuditCheckpoint {
  readonly certificate: Uint8Array;
}

/** What is worth an alert; a kind looks only at the fields that concern it. */
export interface AlertRule {
  readonly name: string;
  readonly kind: string;
  /** Of reads: a pattern of names. */
  readonly resource: string;
  /** Hours in which reads are nothing unusual: minutes of the day; over midnight when the end is before the start. */
  readonly fromMinute: number;
  readonly toMinute: number;
  /** Bit 0 is Sunday. */
  readonly days: number;
  readonly timeZone: string;
  /** Denials: "principal" or "address". */
  readonly by: string;
  readonly count: number;
  readonly withinMs: number;
}

export interface AlertWebhook {
  readonly url: string;
  readonly secret: Uint8Array;
}

export interface AlertSettings {
  readonly rules: readonly AlertRule[];
  readonly webhook: AlertWebhook | Unset;
}

/** How far alerts are: sequences of audit records. */
export interface AlertCursor {
  /** The last record that was gone over. */
  readonly evaluated: number;
  /** Up to here no alert waits for the webhook. */
  readonly delivered: number;
}

export interface NoteAlerts {
  readonly before: AlertCursor | Unset;
  readonly after: AlertCursor | Unset;
  readonly alerts: readonly AuditRecord[];
}

/** In force beside the retention of the settings, when it is longer. */
export interface FormerRetention {
  /** 0: for ever. */
  readonly retentionMs: number;
  /** Log time. */
  readonly untilMs: number;
}

export interface AuditSettingsRow {
  readonly settings: AuditSettings | Unset;
  readonly checkpoint: KeptCheckpoint | Unset;
  readonly alerts: AlertSettings | Unset;
  readonly cursor: AlertCursor | Unset;
  readonly former: FormerRetention | Unset;
}

export interface ValueReadOutcome {
  readonly revision: number;
  readonly names: readonly Uint8Array[];
  /** Where what may be delivered goes on; empty: at no name. */
  readonly next: Uint8Array;
  readonly failure?: Failure | Unset;
}

export const auditSettingsRowCodec = codec<AuditSettingsRow>('holdfast.storage.v1.AuditSettingsRow');
