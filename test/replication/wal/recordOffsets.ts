/** What precedes the counted bytes of a record: its length and its checksum. */
const PREFIX_BYTES = 8;

/** Offset where each record of a segment begins, its header first, then the end of the last one that is all there. */
export function recordOffsets(segment: Buffer): number[] {
  const offsets = [0];
  for (let offset = 0; offset + PREFIX_BYTES <= segment.length; ) {
    const length = segment.readUInt32BE(offset);
    if (length === 0 || offset + PREFIX_BYTES + length > segment.length) break;
    offset += PREFIX_BYTES + length;
    offsets.push(offset);
  }
  return offsets;
}
