import { maskedCrc32c } from './crc32c.ts';
import { LevelFields } from './fields.ts';

const BLOCK_BYTES = 32 * 1024;
const HEADER_BYTES = 7;

/** Whether a fragment is the first of its record, and whether the last; by type: full, first, middle, last. */
const FRAGMENTS: ReadonlyMap<number, { readonly begins: boolean; readonly ends: boolean }> = new Map([
  [1, { begins: true, ends: true }],
  [2, { begins: true, ends: false }],
  [3, { begins: false, ends: false }],
  [4, { begins: false, ends: true }],
]);

/** Sizes in bytes of the tables that are in force, by their number. */
export type LiveTables = ReadonlyMap<number, number>;

/**
 * Which tables a manifest names. Others may lie beside them: a table is in force when it is written here, and what a
 * compaction that was cut off has left is not (LevelDB, db/version_edit.cc).
 * @throws RangeError when the manifest is damaged
 */
export function liveTables(manifest: Buffer): LiveTables {
  const tables = new Map<string, { readonly number: number; readonly bytes: number }>();
  for (const edit of records(manifest)) {
    const fields = new LevelFields(edit);
    while (fields.left > 0) {
      const tag = fields.varint();
      const read = EDITS.get(tag);
      if (read === undefined) throw new RangeError(`a version edit has a field of type ${tag}`);
      read(fields, tables);
    }
  }
  return new Map([...tables.values()].map(({ number, bytes }) => [number, bytes]));
}

type Tables = Map<string, { readonly number: number; readonly bytes: number }>;
type ReadEdit = (fields: LevelFields, tables: Tables) => void;

const EDITS: ReadonlyMap<number, ReadEdit> = new Map<number, ReadEdit>([
  [1, (fields) => void fields.prefixed()],
  [2, (fields) => void fields.varint()],
  [3, (fields) => void fields.varint()],
  [4, (fields) => void fields.varint()],
  [5, readCompactPointer],
  [6, readDeletedTable],
  [7, readNewTable],
  [9, (fields) => void fields.varint()],
]);

function readCompactPointer(fields: LevelFields): void {
  fields.varint();
  fields.prefixed();
}

/** A table that moves to another level is taken out of one and put into the other by the same edit. */
function readDeletedTable(fields: LevelFields, tables: Tables): void {
  const level = fields.varint();
  tables.delete(`${level}/${fields.varint()}`);
}

function readNewTable(fields: LevelFields, tables: Tables): void {
  const level = fields.varint();
  const [number, bytes] = [fields.varint(), fields.varint()];
  fields.prefixed();
  fields.prefixed();
  tables.set(`${level}/${number}`, { number, bytes });
}

/** The whole records of a log of LevelDB; one that was cut off by a crash ends it (LevelDB, doc/log_format). */
function* records(log: Buffer): Iterable<Buffer> {
  let begun: Buffer[] = [];
  for (const { type, data } of fragments(log)) {
    const fragment = FRAGMENTS.get(type);
    if (fragment === undefined || fragment.begins !== (begun.length === 0))
      throw new RangeError(`a record has a fragment of type ${type} where none belongs`);
    begun.push(data);
    if (!fragment.ends) continue;
    yield Buffer.concat(begun);
    begun = [];
  }
}

function* fragments(log: Buffer): Iterable<{ readonly type: number; readonly data: Buffer }> {
  for (let start = 0; start < log.length; start += BLOCK_BYTES) {
    const fields = new LevelFields(log.subarray(start, start + BLOCK_BYTES));
    while (fields.left >= HEADER_BYTES) {
      const [crc, length, type] = [fields.u32(), fields.u16(), fields.u8()];
      // What a file system may leave of an append that was cut off; LevelDB passes over it as well.
      if (length === 0 && type === 0) break;
      if (length > fields.left) {
        assertLast(log, start);
        return;
      }
      const data = fields.bytes(length);
      const covered = log.subarray(start + fields.offset - length - 1, start + fields.offset);
      if (maskedCrc32c(covered) !== crc)
        throw new RangeError(`the record at ${start + fields.offset} is damaged`);
      yield { type, data };
    }
  }
}

/** Only what was written last can have been cut off. */
function assertLast(log: Buffer, start: number): void {
  if (start + BLOCK_BYTES < log.length) throw new RangeError(`a record in the block at ${start} is too long`);
}
