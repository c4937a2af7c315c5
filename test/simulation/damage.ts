import { readSlot, WATERMARK_SLOT_BYTES, type Watermark } from '../../src/replication/wal/watermark.ts';
import { WATERMARK_NAME } from '../../src/replication/wal/watermarkFile.ts';
import { recordOffsets } from '../replication/wal/recordOffsets.ts';
import type { Chance } from './chance.ts';
import type { VirtualDisk } from './virtualDisk.ts';

/** What the newest sound slot of the watermark says; null when there is none. */
export function watermarkOn(disk: VirtualDisk): Watermark | null {
  const file = disk.files(`/${WATERMARK_NAME}`)[0];
  if (file === undefined) return null;
  const slots = [];
  for (let from = 0; from + WATERMARK_SLOT_BYTES <= file.bytes.length; from += WATERMARK_SLOT_BYTES) {
    const reading = readSlot(file.bytes.subarray(from, from + WATERMARK_SLOT_BYTES));
    if (reading.kind === 'sound') slots.push(reading.slot);
  }
  return slots.toSorted((one, other) => other.sequence - one.sequence)[0]?.watermark ?? null;
}

/**
 * Loses what a switched-off machine's log has promised to keep: its end is zeroed or cut off, or a byte inside is
 * turned over. False when there is nothing there to lose.
 */
export function loseTail(disk: VirtualDisk, chance: Chance): boolean {
  const segments = disk.files('.wal');
  const newest = segments.at(-1);
  if (newest === undefined) return false;
  const offsets = recordOffsets(newest.bytes);
  const end = offsets.at(-1) ?? 0;
  const records = offsets.slice(1, -1);
  const kind = chance.pick(['zeros', 'cut', 'flip'] as const);
  const from = chance.pick(records);
  if (kind === 'flip' || from === undefined) {
    const victim = chance.pick(segments) ?? newest;
    const limit = victim === newest ? end : (recordOffsets(victim.bytes).at(-1) ?? 0);
    const at = chance.integer(0, Math.max(0, limit - 1));
    victim.bytes[at] = (victim.bytes[at] ?? 0) ^ (1 << chance.integer(0, 7));
    return true;
  }
  if (kind === 'zeros') newest.bytes.fill(0, from);
  else disk.truncate(newest.path, from);
  return true;
}
