import { type ChainHead, NO_AUDIT_HASH, recordHash } from '../audit/record/chain.ts';
import { asBuffer } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import { type AuditRecord, auditRowCodec } from '../proto/audit.ts';
import type { HeadRow } from '../proto/storage.ts';
import { AuditRows } from './auditRows.ts';
import { plaintextOf, type Row, type RowPlace } from './row.ts';
import type { RowChanges } from './rowChanges.ts';
import { corruptRow } from './rowSealer.ts';

/** What a record takes in its row beside its resource, at most about. */
const RECORD_BYTES = 256;

/**
 * Who did what, in the order in which it was applied. Invariant I54: what changes the state and what is recorded of it is in the
 * same entry, so that neither is there without the other; sequences have no gap, and each hash covers the one before it.
 */
export class AuditTrail {
  readonly rows = new AuditRows();
  readonly #changes: RowChanges;
  #head: ChainHead = { sequence: 0, hash: NO_AUDIT_HASH };
  /** Of the entry that is being applied. */
  #records: AuditRecord[] = [];
  #recordsBytes = 0;
  #time = { index: 0, timeMs: 0 };

  constructor(changes: RowChanges) {
    this.#changes = changes;
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
    this.#advance(records, { index, timeMs });
    const number = sequence + 1;
    const { digest } = this.#changes.create(
      placeOf(number),
      auditRowCodec.encode({ index, timeMs, previousHash, records: records.map(withoutDefaults) }),
    );
    this.rows.push({ number, timeMs, previousHash, digest });
  }

  load(row: Row, encoded: Buffer): void {
    const { index, timeMs, previousHash, records } = auditRowCodec.decode(plaintextOf(encoded));
    if (this.rows.length === 0) {
      this.#head = { sequence: row.number - 1, hash: Buffer.from(previousHash) };
    }
    const { sequence, hash } = this.#head;
    if (row.number !== sequence + 1 || !hash.equals(asBuffer(previousHash)) || records.length === 0) {
      throw corruptRow(row, 'does not go on where the audit records before it end');
    }
    const { digest } = this.#changes.loaded(row);
    this.rows.push({ number: row.number, timeMs, previousHash, digest });
    this.#advance(records, { index, timeMs });
  }

  /** Takes over what a head row says. Whether the rows that were loaded come to the same is part of its digest. */
  restore({ auditSequence, auditHash }: HeadRow): boolean {
    const { sequence, hash } = this.#head;
    if (this.rows.length > 0) return sequence === auditSequence && hash.equals(asBuffer(auditHash));
    if (auditSequence > 0) this.#head = { sequence: auditSequence, hash: Buffer.from(auditHash) };
    return true;
  }

  #advance(records: readonly AuditRecord[], time: { readonly index: number; readonly timeMs: number }): void {
    let { sequence, hash } = this.#head;
    for (const record of records) {
      sequence += 1;
      hash = recordHash(record, { sequence, ...time, previousHash: hash });
    }
    this.#head = { sequence, hash };
  }
}

/** What is not written takes no bytes. */
function withoutDefaults(record: AuditRecord): AuditRecord {
  const given = Object.entries(record).filter(([, value]) => value !== 0 && value.length !== 0);
  return Object.fromEntries(given) as unknown as AuditRecord;
}

function placeOf(number: number): RowPlace {
  return { table: 'l', number, sub: 0 };
}
