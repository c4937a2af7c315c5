import { join } from 'node:path';
import { fillWithZeros, segmentName } from './segment.ts';
import type { SegmentFile } from './segmentFiles.ts';
import type { LogSource } from './segmentReader.ts';

/** What a segment is called while its sound part is written anew; never part of the log. */
const COPY_NAME = 'mended.prepared';

/** Replaces a segment at once by `bytes` and zeros behind them, durably: it is never there in part. */
export async function replaceSegment(
  { directory, files, segmentBytes }: LogSource,
  { sequence, bytes, sizeMin }: { sequence: number; bytes: Buffer; sizeMin: number },
): Promise<void> {
  const copy = join(directory, COPY_NAME);
  if ((await files.list(directory)).includes(COPY_NAME)) await files.remove(copy);
  await writeWhole(await files.open(copy, 'create'), bytes, Math.max(sizeMin, segmentBytes));
  await files.rename({ from: copy, to: join(directory, segmentName(sequence)) });
  await files.syncDirectory(directory);
}

/** Writes `bytes` and zeros up to `size`, durably, and closes the file. */
export async function writeWhole(file: SegmentFile, bytes: Buffer, size = bytes.length): Promise<void> {
  try {
    await file.writeDurably(bytes, 0);
    await fillWithZeros(file, { from: bytes.length, to: size });
  } finally {
    await file.close();
  }
}
