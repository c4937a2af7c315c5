import { asBuffer } from '../base/bytes.ts';
import type { KeyRange } from '../proto/storage.ts';

const EMPTY = Buffer.alloc(0);

/** A protobuf bytes field as a Buffer without a copy. An unset field decodes to something that is no Uint8Array. */
export function bytesField(field: Uint8Array): Buffer {
  return field instanceof Uint8Array ? asBuffer(field) : EMPTY;
}

/** A key as a latin-1 string, one character a byte: the order of the strings is the order of the bytes. */
export function keyFromBytes(bytes: Uint8Array): string {
  return bytesField(bytes).toString('latin1');
}

/** The bytes of a key: the inverse of keyFromBytes. */
export function bytesFromKey(key: string): Buffer {
  return Buffer.from(key, 'latin1');
}

/** The first key after `key`: the range [key, keyAfter(key)) holds exactly `key`. */
export function keyAfter(key: string): string {
  return `${key}\u0000`;
}

/** Whether a range holds exactly the key where it begins. */
export function isOneKey({ start, end }: KeyRange): boolean {
  if (end.length !== start.length + 1 || end[start.length] !== 0) return false;
  return bytesField(end).compare(bytesField(start), 0, start.length, 0, start.length) === 0;
}

/** Whether `key` lies in [start, end); an empty `end` is no bound. */
export function inRange(
  key: string,
  { start, end }: { readonly start: string; readonly end: string },
): boolean {
  return key >= start && (end === '' || key < end);
}
