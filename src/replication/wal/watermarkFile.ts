import { join } from 'node:path';
import { systemErrorCode } from '../../base/errors.ts';
import type { StoreId } from '../../base/ids.ts';
import { foreignStore, unreadable, versionUnsupported } from './refusals.ts';
import type { SegmentFile, SegmentFiles } from './segmentFiles.ts';
import {
  readSlot,
  WATERMARK_SLOT_BYTES,
  WATERMARK_SLOTS,
  WATERMARK_VERSION,
  type Watermark,
  type WatermarkSlot,
  writeSlot,
} from './watermark.ts';

/** Lies beside the segments. */
export const WATERMARK_NAME = 'watermark';
/** What a watermark that is being made is called; never read. */
const UNFINISHED_NAME = 'watermark.new';

export interface WatermarkPlace {
  readonly directory: string;
  readonly storeId: StoreId;
  readonly files: SegmentFiles;
}

/** `missing`: an older data directory, or somebody took it away. `unreadable`: no slot is whole. */
export type WatermarkReading =
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable' }
  | { readonly kind: 'sound'; readonly sequence: number; readonly watermark: Watermark };

/**
 * The newest whole watermark beside a log. Nothing on disk is touched.
 * @throws HoldfastError DATA_DIR_INVALID (another store's), VERSION_UNSUPPORTED, DISK_FAILED
 */
export async function readWatermark(place: WatermarkPlace): Promise<WatermarkReading> {
  const { directory, files, storeId } = place;
  const path = join(directory, WATERMARK_NAME);
  const names = await files.list(directory).catch((thrown: unknown) => {
    if (systemErrorCode(thrown) === 'ENOENT') return [] as readonly string[];
    throw unreadable(directory, thrown);
  });
  if (!names.includes(WATERMARK_NAME)) return { kind: 'missing' };
  const bytes = await files.read(path).catch((thrown: unknown) => {
    throw unreadable(path, thrown);
  });
  let newest: WatermarkSlot | null = null;
  for (let slot = 0; slot < WATERMARK_SLOTS; slot += 1) {
    const from = slot * WATERMARK_SLOT_BYTES;
    const reading = readSlot(bytes.subarray(from, from + WATERMARK_SLOT_BYTES));
    if (reading.kind === 'unknown') {
      throw versionUnsupported(path, { found: reading.version, known: WATERMARK_VERSION });
    }
    if (reading.kind === 'unreadable') continue;
    if (reading.slot.storeId !== storeId) throw foreignStore(place, reading.slot.storeId);
    if (newest === null || reading.slot.sequence > newest.sequence) newest = reading.slot;
  }
  if (newest === null) return { kind: 'unreadable' };
  return { kind: 'sound', sequence: newest.sequence, watermark: newest.watermark };
}

/**
 * The watermark's file, open for writing. Slots are written in turn, so that a torn write leaves the one before. The
 * caller makes one call at a time and stops for good at the first rejection.
 */
export class WatermarkFile {
  readonly #place: WatermarkPlace;
  readonly #file: SegmentFile;
  /** Free again whenever a write has returned. */
  readonly #slot = Buffer.alloc(WATERMARK_SLOT_BYTES);
  #sequence: number;

  private constructor(place: WatermarkPlace, file: SegmentFile, sequence: number) {
    this.#place = place;
    this.#file = file;
    this.#sequence = sequence;
  }

  /** Makes the file with `first` in both slots; it is there wholly or not at all. Replaces an unreadable one. */
  static async create(place: WatermarkPlace, first: Watermark): Promise<WatermarkFile> {
    const { directory, files } = place;
    const unfinished = join(directory, UNFINISHED_NAME);
    if ((await files.list(directory)).includes(UNFINISHED_NAME)) await files.remove(unfinished);
    const made = new WatermarkFile(place, await files.open(unfinished, 'create'), 0);
    await made.writeAll(first);
    await made.#file.sync();
    await files.rename({ from: unfinished, to: join(directory, WATERMARK_NAME) });
    await files.syncDirectory(directory);
    return made;
  }

  /** Goes on behind the watermark that was read last. */
  static async open(place: WatermarkPlace, sequence: number): Promise<WatermarkFile> {
    const file = await place.files.open(join(place.directory, WATERMARK_NAME), 'existing');
    return new WatermarkFile(place, file, sequence);
  }

  /** Durable when it resolves. */
  async write(watermark: Watermark): Promise<void> {
    const sequence = this.#sequence + 1;
    writeSlot({ sequence, storeId: this.#place.storeId, watermark }, this.#slot);
    await this.#file.writeDurably(this.#slot, (sequence % WATERMARK_SLOTS) * WATERMARK_SLOT_BYTES);
    this.#sequence = sequence;
  }

  /** Durable in every slot when it resolves: nothing older is left to fall back to. */
  async writeAll(watermark: Watermark): Promise<void> {
    for (let slot = 0; slot < WATERMARK_SLOTS; slot += 1) await this.write(watermark);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
