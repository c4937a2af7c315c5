import { isUtf8 } from 'node:buffer';
import { asBuffer } from '../base/bytes.ts';
import { printable } from '../base/printable.ts';
import type { Item } from '../client/index.ts';

const PREVIEW_CHARACTERS = 57;
const PREVIEW_BYTES = 4 * PREVIEW_CHARACTERS;

/** A value in JSON: as `value` when it is valid UTF-8, else as `valueBase64`. */
export function valueFields(
  value: Uint8Array,
): { readonly value: string } | { readonly valueBase64: string } {
  const buffer = asBuffer(value);
  return isUtf8(buffer) ? { value: buffer.toString('utf8') } : { valueBase64: buffer.toString('base64') };
}

/** The key's JSON fields: `key`, or `keyBase64` when it is not valid UTF-8. */
export function keyFields(key: Uint8Array): { readonly key: string } | { readonly keyBase64: string } {
  const buffer = asBuffer(key);
  return isUtf8(buffer) ? { key: buffer.toString('utf8') } : { keyBase64: buffer.toString('base64') };
}

/** An item in JSON, its fields named as in kv.proto. */
export function itemFields(item: Item): object {
  return { ...keyFields(item.key), ...valueFields(item.value), ...itemNumbers(item) };
}

/** An item whose value was not asked for. */
export function itemFieldsWithoutValue(item: Item): object {
  return { ...keyFields(item.key), ...itemNumbers(item) };
}

function itemNumbers({ createRevision, modRevision, version }: Item): object {
  return { createRevision, modRevision, version };
}

/** A key as text for people; bytes that are not UTF-8 become base64 with a mark. */
export function keyText(key: Uint8Array): string {
  const buffer = asBuffer(key);
  return isUtf8(buffer) ? printable(buffer.toString('utf8')) : `base64:${buffer.toString('base64')}`;
}

/** A short single line for tables. */
export function valuePreview(value: Uint8Array): string {
  const buffer = asBuffer(value);
  if (!isUtf8(buffer)) return `(${value.length} bytes)`;
  const start = Array.from(buffer.subarray(0, PREVIEW_BYTES).toString('utf8'))
    .slice(0, PREVIEW_CHARACTERS)
    .join('');
  const line = start.trimStart().split('\n')[0] ?? '';
  return Buffer.byteLength(line) === value.length ? printable(line) : `${printable(line)}…`;
}

/** RFC 3339 in UTC. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

/** `1.2 MiB` and the like. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  if (bytes < 1024 ** 3) return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
  return `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
}
