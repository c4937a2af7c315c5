import { maskedCrc32c } from './crc32c.ts';
import { LevelFields } from './fields.ts';

const FOOTER_BYTES = 48;
const MAGIC_BYTES = 8;
const MAGIC = Buffer.from('57fb808b247547db', 'hex');
/** Type and checksum behind the contents of every block. */
const TRAILER_BYTES = 5;

interface BlockHandle {
  readonly offset: number;
  readonly size: number;
}

/**
 * Checks a table of LevelDB, every byte of it: each block against its checksum, and that the blocks and the footer are
 * all there is (LevelDB, doc/table_format).
 * @throws RangeError saying what is wrong, at which offset
 */
export function assertTableWhole(table: Buffer): void {
  const { metaindex, index } = readFooter(table);
  const blocks = [metaindex, index];
  for (const handle of [metaindex, index]) blocks.push(...handlesIn(contentsOf(table, handle)));
  blocks.sort((a, b) => a.offset - b.offset);
  for (const block of blocks) contentsOf(table, block);
  const begins = [...blocks.map(({ offset }) => offset), table.length - FOOTER_BYTES];
  const ends = [0, ...blocks.map(({ offset, size }) => offset + size + TRAILER_BYTES)];
  const gap = ends.find((end, at) => begins[at] !== end);
  if (gap !== undefined) throw new RangeError(`nothing begins at ${gap}, where a block ends`);
}

function readFooter(table: Buffer): { metaindex: BlockHandle; index: BlockHandle } {
  if (table.length < FOOTER_BYTES) throw new RangeError('it ends before its footer');
  const footer = table.subarray(table.length - FOOTER_BYTES);
  if (!footer.subarray(-MAGIC_BYTES).equals(MAGIC)) throw new RangeError('its footer is not one of a table');
  const fields = new LevelFields(footer.subarray(0, -MAGIC_BYTES));
  const handles = { metaindex: readHandle(fields), index: readHandle(fields) };
  if (fields.bytes(fields.left).some((byte) => byte !== 0)) throw new RangeError('its footer is damaged');
  return handles;
}

function readHandle(fields: LevelFields): BlockHandle {
  return { offset: fields.varint(), size: fields.varint() };
}

function contentsOf(table: Buffer, { offset, size }: BlockHandle): Buffer {
  const end = offset + size + 1;
  if (end + 4 > table.length - FOOTER_BYTES)
    throw new RangeError(`the block at ${offset} ends behind the table`);
  if (maskedCrc32c(table.subarray(offset, end)) !== table.readUInt32LE(end))
    throw new RangeError(`the block at ${offset} is damaged`);
  // A table of holdfast has none: ciphertext does not shrink.
  if (table.readUInt8(offset + size) !== 0) throw new RangeError(`the block at ${offset} is compressed`);
  return table.subarray(offset, offset + size);
}

/** The values of a block whose checksum was right, which are handles of other blocks. */
function handlesIn(contents: Buffer): BlockHandle[] {
  const handles: BlockHandle[] = [];
  const restarts = contents.readUInt32LE(contents.length - 4);
  const fields = new LevelFields(contents.subarray(0, contents.length - 4 * (restarts + 1)));
  while (fields.left > 0) {
    fields.varint();
    const keyBytes = fields.varint();
    const valueBytes = fields.varint();
    fields.bytes(keyBytes);
    handles.push(readHandle(new LevelFields(fields.bytes(valueBytes))));
  }
  return handles;
}
