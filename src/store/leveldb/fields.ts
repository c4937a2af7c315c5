/** Of a number up to 2^53 - 1, seven bits in each. */
const VARINT_BYTES_MAX = 8;

/** Reads the fields of LevelDB's files, little-endian. Every read past the end or out of range is a RangeError. */
export class LevelFields {
  readonly #source: Buffer;
  offset = 0;

  constructor(source: Buffer) {
    this.#source = source;
  }

  get left(): number {
    return this.#source.length - this.offset;
  }

  u8(): number {
    const value = this.#source.readUInt8(this.offset);
    this.offset += 1;
    return value;
  }

  u16(): number {
    const value = this.#source.readUInt16LE(this.offset);
    this.offset += 2;
    return value;
  }

  u32(): number {
    const value = this.#source.readUInt32LE(this.offset);
    this.offset += 4;
    return value;
  }

  /** Seven bits in each byte, the lowest first; at most 2^53 - 1. */
  varint(): number {
    let value = 0;
    for (let at = 0; at < VARINT_BYTES_MAX; at += 1) {
      const byte = this.u8();
      value += (byte & 0x7f) * 128 ** at;
      if (byte < 0x80 && value <= Number.MAX_SAFE_INTEGER) return value;
    }
    throw new RangeError('varint beyond 2^53 - 1');
  }

  /** A view on the source. */
  bytes(length: number): Buffer {
    if (length > this.left) throw new RangeError('bytes are missing');
    const start = this.offset;
    this.offset += length;
    return this.#source.subarray(start, this.offset);
  }

  prefixed(): Buffer {
    return this.bytes(this.varint());
  }
}
