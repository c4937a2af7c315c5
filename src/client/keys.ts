/** Keys and ranges as applications write them, and as the wire takes them. */
import { asBuffer } from '../base/bytes.ts';
import type { KeyRange, KeyValue } from '../proto/storage.ts';

/** Text is taken as UTF-8. */
export type Bytes = string | Uint8Array;

/** One version of one key. `key` and `value` are memory of their own. */
export interface Item {
  readonly key: Buffer;
  readonly value: Buffer;
  /** Revision at which the key came into being. */
  readonly createRevision: number;
  /** Revision of this version. */
  readonly modRevision: number;
  /** 1 for the first version since the key came into being. */
  readonly version: number;
}

/**
 * Which keys: one key, all that begin with a prefix (the empty prefix is every key), or from `start` up to, not
 * including, `end` (absent: no upper bound).
 */
export type KeySelector =
  | { readonly key: Bytes }
  | { readonly prefix: Bytes }
  | { readonly start: Bytes; readonly end?: Bytes };

const NONE = Buffer.alloc(0);

export function toBytes(bytes: Bytes): Buffer {
  return typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : asBuffer(bytes);
}

export function toRange(selector: KeySelector): KeyRange {
  if ('key' in selector) return oneKey(toBytes(selector.key));
  if ('prefix' in selector) {
    const start = toBytes(selector.prefix);
    return { start, end: afterPrefix(start) };
  }
  return { start: toBytes(selector.start), end: selector.end === undefined ? NONE : toBytes(selector.end) };
}

/** The range of one key k is [k, k + 0x00). */
export function oneKey(key: Buffer): KeyRange {
  const end = Buffer.alloc(key.length + 1);
  end.set(key);
  return { start: key, end };
}

export function toItem(item: KeyValue): Item {
  return {
    key: Buffer.from(item.key),
    value: Buffer.from(item.value),
    createRevision: item.createRevision,
    modRevision: item.modRevision,
    version: item.version,
  };
}

export function toItemOrNull(item: KeyValue | null | undefined): Item | null {
  return item ? toItem(item) : null;
}

/** The first key after all that begin with `prefix`: the last byte below 0xff raised by one; none: no upper bound. */
function afterPrefix(prefix: Buffer): Buffer {
  for (let last = prefix.length - 1; last >= 0; last -= 1) {
    const byte = prefix[last] ?? 0;
    if (byte === 0xff) continue;
    const end = Buffer.from(prefix.subarray(0, last + 1));
    end[last] = byte + 1;
    return end;
  }
  return NONE;
}
