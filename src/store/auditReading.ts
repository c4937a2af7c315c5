import { type ChainedRecord, chained } from '../audit/record/chain.ts';
import { present } from '../base/assert.ts';
import { asBuffer } from '../base/bytes.ts';
import { decodeAuditRow } from './auditRow.ts';
import type { Database, DatabaseRow } from './database.ts';
import { runningFailure } from './database.ts';
import type { Generation } from './generation.ts';
import { encodeRow, parseRowKey, plaintextOf, rowKey } from './row.ts';
import type { RowSealer } from './rowSealer.ts';

/** Where the reading of records begins: with those that are not before either. */
export interface AuditStart {
  /** 0: the oldest. */
  readonly sequence: number;
  /** Log time; 0: the oldest. */
  readonly timeMs: number;
}

/**
 * The records that are on disk, from the row on in which the first wanted one is. A view of the database is held for one portion
 * only, since a reader may take as long as he likes.
 * @throws HoldfastError STATE_CORRUPT, DISK_FAILED
 */
export async function* readAudit(
  generation: () => Pick<Generation, 'database' | 'sealer' | 'state'>,
  { sequence, timeMs }: AuditStart,
): AsyncGenerator<readonly ChainedRecord[]> {
  const { rows } = generation().state.audit;
  const position = Math.max(rows.positionOf(sequence), rows.positionFrom(timeMs));
  if (position < 0 || position >= rows.length) return;
  let next = rows.at(position).number;
  for (;;) {
    const read = generation();
    let portion: readonly DatabaseRow[];
    try {
      portion = await portionFrom(read.database, next);
    } catch (thrown) {
      // A snapshot has taken the place of the state meanwhile, and what was read from is closed.
      if (generation() !== read) continue;
      throw thrown;
    }
    if (portion.length === 0) return;
    // One at a time: a row may hold a thousand records, and who reads may have enough of the first.
    for (const row of portion) {
      const records = recordsOf(row, read.sealer);
      next = present(records.at(-1), 'a row holds a record').sequence + 1;
      const wanted = records.filter((record) => record.sequence >= sequence && record.timeMs >= timeMs);
      if (wanted.length > 0) yield wanted;
    }
  }
}

/** The first rows that are on disk from a number on. */
async function portionFrom(database: Database, number: number): Promise<readonly DatabaseRow[]> {
  const snapshot = database.snapshot();
  try {
    for await (const portion of snapshot.rows('l', rowKey({ table: 'l', number: number - 1, sub: 0 }))) {
      return portion;
    }
    return [];
  } catch (thrown) {
    throw runningFailure(thrown);
  } finally {
    await snapshot.close();
  }
}

function recordsOf({ key, envelope }: DatabaseRow, sealer: RowSealer): readonly ChainedRecord[] {
  const place = parseRowKey(key);
  const encoded = encodeRow(place, sealer.openOrCorrupt(place, envelope));
  const { index, timeMs, previousHash, records } = decodeAuditRow(plaintextOf(encoded));
  return chained(records, {
    sequence: place.number,
    index,
    timeMs,
    previousHash: asBuffer(previousHash),
  });
}
