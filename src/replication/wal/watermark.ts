import { crc32 } from 'node:zlib';
import { assert } from '../../base/assert.ts';
import type { StoreId } from '../../base/ids.ts';
import type { HardState } from '../raft/types.ts';
import { FieldReader, FieldWriter } from './fields.ts';
import type { ChainEnd } from './types.ts';

/** How far the log was durable, told beside it: a log that ends before has lost something. */
export interface Watermark {
  /** Number of the last record of the log that is named; runs through all segments. */
  readonly record: number;
  /** Term and vote as that record left them, or later ones. */
  readonly hardState: HardState;
  /** The last entry of the log after that record. */
  readonly last: ChainEnd;
  /** While set, the log has lost entries, perhaps up to here, and is not to be believed. */
  readonly suspectUntil: ChainEnd | null;
  /** Sequence of the segment that the log begins with: a removal may have left older ones. 0: it is not told. */
  readonly firstSegment: number;
}

/** A watermark as it lies in a slot. The one with the higher sequence holds. */
export interface WatermarkSlot {
  readonly sequence: number;
  readonly storeId: StoreId;
  readonly watermark: Watermark;
}

/** A sector of its own for each slot, so that a torn write harms no other. */
export const WATERMARK_SLOT_BYTES = 4096;
export const WATERMARK_SLOTS = 2;
/** The format that this program writes and reads. */
export const WATERMARK_VERSION = 1;

const MAGIC = Buffer.from('HFMARK');
const CRC_BYTES = 4;

/** Fills `target`, a whole slot: `crc32 u32 | HFMARK | version u8 | fields | zeros`; the CRC covers all behind it. */
export function writeSlot({ sequence, storeId, watermark }: WatermarkSlot, target: Buffer): void {
  assert(target.length === WATERMARK_SLOT_BYTES, 'a slot of the watermark has its size');
  target.fill(0);
  const writer = new FieldWriter(target, CRC_BYTES);
  writer.bytes(MAGIC);
  writer.u8(WATERMARK_VERSION);
  writer.id(storeId);
  writer.u64(sequence);
  writer.u64(watermark.record);
  writer.hardState(watermark.hardState);
  writer.chainEnd(watermark.last);
  writer.u8(watermark.suspectUntil === null ? 0 : 1);
  if (watermark.suspectUntil !== null) writer.chainEnd(watermark.suspectUntil);
  writer.u64(watermark.firstSegment);
  target.writeUInt32BE(crc32(target.subarray(CRC_BYTES)), 0);
}

/** `unreadable`: torn, damaged or never written. `unknown`: whole, but of a version that this program does not know. */
export type SlotReading =
  | { readonly kind: 'sound'; readonly slot: WatermarkSlot }
  | { readonly kind: 'unreadable' }
  | { readonly kind: 'unknown'; readonly version: number };

export function readSlot(bytes: Buffer): SlotReading {
  if (bytes.length !== WATERMARK_SLOT_BYTES) return { kind: 'unreadable' };
  if (crc32(bytes.subarray(CRC_BYTES)) !== bytes.readUInt32BE(0)) return { kind: 'unreadable' };
  try {
    return readFields(new FieldReader(bytes.subarray(CRC_BYTES)));
  } catch (thrown) {
    if (thrown instanceof RangeError) return { kind: 'unreadable' };
    throw thrown;
  }
}

function readFields(reader: FieldReader): SlotReading {
  if (!reader.bytes(MAGIC.length).equals(MAGIC)) return { kind: 'unreadable' };
  const version = reader.u8();
  if (version !== WATERMARK_VERSION) return { kind: 'unknown', version };
  const storeId = reader.id() as StoreId;
  const sequence = reader.u64();
  const watermark = {
    record: reader.u64(),
    hardState: reader.hardState(),
    last: reader.chainEnd(),
    suspectUntil: reader.flag() ? reader.chainEnd() : null,
    firstSegment: reader.u64(),
  };
  return { kind: 'sound', slot: { sequence, storeId, watermark } };
}
