import { type ChainHead, chainEnd, NO_AUDIT_HASH } from '../audit/record/chain.ts';
import { isSignedBy } from '../audit/record/checkpoint.ts';
import { asBuffer } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { AuditCheckpoint, AuditRecord } from '../proto/audit.ts';
import type { HeadRow } from '../proto/storage.ts';
import { decodeAuditRow, encodeAuditRow } from './auditRow.ts';
import { AuditRows } from './auditRows.ts';
import { AuditRules } from './auditRules.ts';
import { retentionAt } from './retention.ts';
import { plaintextOf, type Row, type RowPlace } from './row.ts';
import type { RowChanges } from './rowChanges.ts';
import { corruptRow } from './rowSealer.ts';

/** What others than apply may see of it. */
export interface AuditView {
  /** The last record. */
  readonly head: ChainHead;
  readonly rules: Pick<
    AuditRules,
    'settings' | 'retention' | 'checkpoint' | 'isAudited' | 'mayBeAudited' | 'alerts' | 'alertCursor'
  >;
  readonly rows: Pick<AuditRows, 'length' | 'at' | 'positionOf' | 'positionFrom'>;
}

/** What a record takes in its row beside its resource, at most about. */
const RECORD_BYTES = 256;

/**
 * Who did what, in the order in which it was applied. Invariant I54: what changes the state and what is recorded of it is in the
 * same entry, so that neither is there without the other; sequences have no gap, and each hash covers the one before it.
 */
export class AuditTrail {
  readonly rows = new AuditRows();
  readonly rules: AuditRules;
  readonly #changes: RowChanges;
  #head: ChainHead = { sequence: 0, hash: NO_AUDIT_HASH };
  /** Of the entry that is being applied. */
  #records: AuditRecord[] = [];
  #recordsBytes = 0;
  #time = { index: 0, timeMs: 0 };

  constructor(changes: RowChanges) {
    this.#changes = changes;
    this.rules = new AuditRules(changes);
  }

  /** The last record. */
  get head(): ChainHead {
    return this.#head;
  }

  /** Of the entry that is being applied, at its index and the log time that it brought. */
  add(record: AuditRecord, time: { readonly index: number; readonly timeMs: number }): void {
    this.#time = time;
    this.#records.push(record);
    this.#recordsBytes += RECORD_BYTES + record.resource.length + record.resourceEnd.length;
    if (this.#recordsBytes >= LIMITS.auditRowBytes) this.endEntry();
  }

  /** What the entry has left goes into a row. */
  endEntry(): void {
    if (this.#records.length === 0) return;
    const records = this.#records;
    const { hash: previousHash, sequence } = this.#head;
    const { index, timeMs } = this.#time;
    this.#records = [];
    this.#recordsBytes = 0;
    this.#head = chainEnd(records, { head: this.#head, index, timeMs });
    const number = sequence + 1;
    const { digest } = this.#changes.create(
      placeOf(number),
      encodeAuditRow({ index, timeMs, previousHash, records }),
    );
    this.rows.push({ number, timeMs, previousHash, digest });
  }

  load(row: Row, encoded: Buffer): void {
    const { index, timeMs, previousHash, records } = decodeAuditRow(plaintextOf(encoded));
    if (this.rows.length === 0) this.#head = headOf(this.rules.checkpoint);
    const { sequence, hash } = this.#head;
    if (row.number !== sequence + 1 || !hash.equals(asBuffer(previousHash)) || records.length === 0) {
      throw corruptRow(row, 'does not go on where the audit records before it end');
    }
    const { digest } = this.#changes.loaded(row);
    this.rows.push({ number: row.number, timeMs, previousHash, digest });
    this.#head = chainEnd(records, { head: this.#head, index, timeMs });
  }

  /** Whether the rows that were loaded come to where the head row says. */
  isWhole({ auditSequence, auditHash }: HeadRow): boolean {
    const { sequence, hash } = this.#head;
    return sequence === auditSequence && (sequence === 0 || hash.equals(asBuffer(auditHash)));
  }

  /**
   * What is older than it is to be kept goes, up to a record that is the last of its row; never all.
   * @throws HoldfastError INVALID_ARGUMENT for a checkpoint that the chain does not bear out, or that nobody may make yet
   */
  prune(checkpoint: AuditCheckpoint, at: PruneTime): void {
    const { sequence, timeMs } = checkpoint;
    const position = this.rows.positionOf(sequence + 1);
    const first = position > 0 ? this.rows.at(position) : null;
    if (first?.number !== sequence + 1 || !asBuffer(first.previousHash).equals(asBuffer(checkpoint.hash)))
      throw refusedCheckpoint('the chain has no such row');
    if (position > LIMITS.auditPruneRowsMax) throw refusedCheckpoint('too many rows would go at once');
    if (this.rows.at(position - 1).timeMs !== timeMs) throw refusedCheckpoint('its time is another one');
    const retentionMs = retentionAt(this.rules.retention, at.timeMs);
    if (retentionMs === 0 || timeMs + retentionMs > at.timeMs) throw refusedCheckpoint('it is too early');
    if (at.certificate.length === 0 || !isSignedBy(checkpoint, at.certificate))
      throw refusedCheckpoint('the CA has not signed it');
    for (let count = 0; count < position; count += 1) {
      const { number, digest } = this.rows.at(0);
      this.#changes.drop({ ...placeOf(number), digest, encoded: null, batch: 0, dropped: false });
      this.rows.shift();
    }
    this.rules.setCheckpoint({ ...checkpoint, certificate: at.certificate }, at.place);
  }
}

export interface PruneTime {
  readonly place: { readonly index: number; readonly sub: number };
  /** Log time. */
  readonly timeMs: number;
  /** DER, of the cluster's CA. */
  readonly certificate: Uint8Array;
}

function headOf(checkpoint: AuditCheckpoint | null): ChainHead {
  if (checkpoint === null) return { sequence: 0, hash: NO_AUDIT_HASH };
  return { sequence: checkpoint.sequence, hash: Buffer.from(checkpoint.hash) };
}

function refusedCheckpoint(why: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `the audit does not begin there: ${why}`, {
    field: 'checkpoint',
  });
}

function placeOf(number: number): RowPlace {
  return { table: 'l', number, sub: 0 };
}
