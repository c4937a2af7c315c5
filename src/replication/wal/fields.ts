import { readU64 } from '../../base/bytes.ts';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import { ENTRY_TYPE_CODES } from '../raft/entryHash.ts';
import type { Configuration, Entry, EntryType, HardState, SnapshotMetadata } from '../raft/types.ts';
import type { ChainEnd } from './types.ts';

const TWO_32 = 0x1_0000_0000;
const HASH_BYTES = 32;
export const ID_BYTES = 8;
export const CHAIN_END_BYTES = 16 + HASH_BYTES;
export const HARD_STATE_BYTES = 8 + 1 + ID_BYTES + 8;
export const ENTRY_BYTES = 8 + 1 + HASH_BYTES + 4;
const ENTRY_TYPES: ReadonlyMap<number, EntryType> = new Map(
  (['normal', 'configuration', 'empty'] as const).map((type) => [ENTRY_TYPE_CODES[type], type]),
);

/** Writes the fields of the formats of the log, big-endian, one behind the other. */
export class FieldWriter {
  readonly #target: Buffer;
  offset: number;

  constructor(target: Buffer, offset: number) {
    this.#target = target;
    this.offset = offset;
  }

  u8(value: number): void {
    this.offset = this.#target.writeUInt8(value, this.offset);
  }

  u32(value: number): void {
    this.offset = this.#target.writeUInt32BE(value, this.offset);
  }

  u64(value: number): void {
    this.u32(Math.floor(value / TWO_32));
    this.u32(value % TWO_32);
  }

  bytes(value: Uint8Array): void {
    this.#target.set(value, this.offset);
    this.offset += value.length;
  }

  id(value: string): void {
    this.offset += this.#target.write(value, this.offset, ID_BYTES, 'hex');
  }

  chainEnd({ index, term, hash }: ChainEnd): void {
    this.u64(index);
    this.u64(term);
    this.bytes(hash);
  }

  hardState({ term, vote, commit }: HardState): void {
    this.u64(term);
    this.u8(vote === null ? 0 : 1);
    this.id(vote ?? '0000000000000000');
    this.u64(commit);
  }

  metadata(metadata: SnapshotMetadata): void {
    const { voters, votersOutgoing, learners, learnersNext, autoLeave } = metadata.configuration;
    this.chainEnd(metadata);
    this.u8(autoLeave ? 1 : 0);
    for (const members of [voters, votersOutgoing, learners, learnersNext]) {
      this.u8(members.length);
      for (const member of members) this.id(member);
    }
  }

  entry({ term, type, hash, payload }: Entry): void {
    this.u64(term);
    this.u8(ENTRY_TYPE_CODES[type]);
    this.bytes(hash);
    this.u32(payload.length);
    this.bytes(payload);
  }
}

/** Reads them back. Every read past the end or out of range is a RangeError. */
export class FieldReader {
  readonly #source: Buffer;
  #offset = 0;

  constructor(source: Buffer) {
    this.#source = source;
  }

  get atEnd(): boolean {
    return this.#offset === this.#source.length;
  }

  finish(): void {
    if (!this.atEnd) throw new RangeError('bytes are left over');
  }

  u8(): number {
    const value = this.#source.readUInt8(this.#offset);
    this.#offset += 1;
    return value;
  }

  u32(): number {
    const value = this.#source.readUInt32BE(this.#offset);
    this.#offset += 4;
    return value;
  }

  u64(): number {
    const value = readU64(this.#source, this.#offset);
    this.#offset += 8;
    return value;
  }

  /** A view on the source. */
  bytes(length: number): Buffer {
    const end = this.#offset + length;
    if (end > this.#source.length) throw new RangeError('bytes are missing');
    const part = this.#source.subarray(this.#offset, end);
    this.#offset = end;
    return part;
  }

  id(): string {
    return this.bytes(ID_BYTES).toString('hex');
  }

  flag(): boolean {
    const value = this.u8();
    if (value > 1) throw new RangeError('a flag is neither 0 nor 1');
    return value === 1;
  }

  chainEnd(): ChainEnd {
    const index = this.u64();
    const term = this.u64();
    return { index, term, hash: Buffer.from(this.bytes(HASH_BYTES)) };
  }

  hardState(): HardState {
    const term = this.u64();
    const voted = this.flag();
    const vote = this.id() as NodeId;
    return { term, vote: voted ? vote : null, commit: this.u64() };
  }

  metadata(): SnapshotMetadata {
    const end = this.chainEnd();
    const autoLeave = this.flag();
    const configuration: Configuration = {
      voters: this.#members(),
      votersOutgoing: this.#members(),
      learners: this.#members(),
      learnersNext: this.#members(),
      autoLeave,
    };
    return { ...end, configuration };
  }

  /** Copied, so that a small entry does not hold a whole segment in memory. */
  entry(index: number): Entry {
    const term = this.u64();
    const type = ENTRY_TYPES.get(this.u8());
    if (type === undefined) throw new RangeError('an unknown entry type');
    const hash = Buffer.from(this.bytes(HASH_BYTES));
    const payload = Buffer.from(this.bytes(this.u32()));
    return { index, term, type, hash, payload };
  }

  #members(): NodeId[] {
    const count = this.u8();
    if (count > LIMITS.membersMax) throw new RangeError('too many members');
    return Array.from({ length: count }, () => this.id() as NodeId);
  }
}
