const TWO_32 = 0x1_0000_0000;

/** Writes an unsigned 64-bit big-endian integer. `value` is a safe integer. @throws RangeError past the end */
export function writeU64(target: Uint8Array, value: number, offset: number): void {
  if (offset < 0 || offset + 8 > target.length) throw new RangeError('64-bit integer past the end');
  writeU32(target, Math.floor(value / TWO_32), offset);
  writeU32(target, value % TWO_32, offset + 4);
}

/** Byte by byte: it is written for each record of the audit, and a view made for it costs ten times as much. */
function writeU32(target: Uint8Array, value: number, offset: number): void {
  target[offset] = value >>> 24;
  target[offset + 1] = value >>> 16;
  target[offset + 2] = value >>> 8;
  target[offset + 3] = value;
}

/** Reads an unsigned 64-bit big-endian integer. @throws RangeError beyond 2^53 - 1 or past the end */
export function readU64(source: Uint8Array, offset: number): number {
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  const value = view.getUint32(offset) * TWO_32 + view.getUint32(offset + 4);
  if (!Number.isSafeInteger(value)) throw new RangeError('64-bit integer beyond 2^53 - 1');
  return value;
}

/** One buffer of fresh, unpooled memory that holds the parts in order. */
export function joinBytes(parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = Buffer.alloc(length);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** Fields as `u32 length | bytes`, so that no two lists of fields give the same bytes. */
export function lengthPrefixed(fields: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const field of fields) length += 4 + field.length;
  const target = Buffer.alloc(length);
  let offset = 0;
  for (const field of fields) {
    target.writeUInt32BE(field.length, offset);
    target.set(field, offset + 4);
    offset += 4 + field.length;
  }
  return target;
}

/** A view on the same memory as a Buffer, without a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
