import { asBuffer } from '../base/bytes.ts';
import { LIMITS } from '../base/limits.ts';
import type { HeadRow } from '../proto/storage.ts';
import { type Database, type DatabaseRow, type DatabaseSnapshot } from './database.ts';
import { readHead } from './loadState.ts';
import { parseRowKey } from './row.ts';
import type { RowSealer } from './rowSealer.ts';

/** A state that stands still: its rows as they lie on disk, and the head that goes with them. */
export interface StoreSnapshot {
  /** Place, revision, digest and configuration. The row itself is among `rows`. */
  readonly head: HeadRow;
  /** All rows, in portions of LIMITS.snapshotChunkBytes at most; a longer row comes alone. */
  rows(): AsyncIterable<readonly DatabaseRow[]>;
  close(): Promise<void>;
}

/** What may come from another node. */
export type SealedRows = AsyncIterable<
  readonly { readonly key: Uint8Array; readonly envelope: Uint8Array }[]
>;

export async function snapshotOf(database: Database, sealer: RowSealer): Promise<StoreSnapshot> {
  const snapshot = database.snapshot();
  try {
    const head = await readHead({ snapshot, sealer });
    return { head, rows: () => chunks(snapshot), close: () => snapshot.close() };
  } catch (thrown) {
    await snapshot.close();
    throw thrown;
  }
}

async function* chunks(snapshot: DatabaseSnapshot): AsyncIterable<readonly DatabaseRow[]> {
  let chunk: DatabaseRow[] = [];
  let bytes = 0;
  for await (const portion of snapshot.rows('')) {
    for (const row of portion) {
      const rowBytes = row.key.length + row.envelope.length;
      if (chunk.length > 0 && bytes + rowBytes > LIMITS.snapshotChunkBytes) {
        yield chunk;
        chunk = [];
        bytes = 0;
      }
      chunk.push(row);
      bytes += rowBytes;
    }
  }
  if (chunk.length > 0) yield chunk;
}

/**
 * Writes the rows of another node into a fresh database. What that node has not sealed anew yet is sealed here (I48): this
 * one may have told the others already that it has nothing left under old keys.
 * @throws HoldfastError STATE_CORRUPT for a key that no row has, or a row that does not open
 */
export async function writeRows(
  database: Database,
  { rows, sealer }: { readonly rows: SealedRows; readonly sealer: RowSealer },
): Promise<void> {
  for await (const chunk of rows) {
    const writes = database.batch();
    for (const { key, envelope } of chunk)
      writes.put(asBuffer(key), sealer.current(parseRowKey(asBuffer(key)), asBuffer(envelope)));
    await writes.write();
  }
}
