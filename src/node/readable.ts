import { isUtf8 } from 'node:buffer';
import { asBuffer } from '../base/bytes.ts';

/** A largest request must still fit into a peer message when its entry is readable. */
const READABLE_GROWTH_MAX = 1.5;

/**
 * A decoded message as JSON that a person can read: bytes as `{"text": …}` when they are readable UTF-8 and else
 * as `{"base64": …}`. Unset messages are left out.
 */
export function toReadable(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    const buffer = asBuffer(value);
    const text = readableText(buffer);
    return text === null ? { base64: buffer.toString('base64') } : { text };
  }
  if (Array.isArray(value)) return value.map(toReadable);
  if (typeof value !== 'object' || value === null) return value;
  const readable: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) {
    if (field !== null && field !== undefined) readable[name] = toReadable(field);
  }
  return readable;
}

/** As text when it is UTF-8, and not so full of escapes that JSON would make it much longer. */
function readableText(buffer: Buffer): string | null {
  if (!isUtf8(buffer)) return null;
  const text = buffer.toString('utf8');
  const jsonBytes = Buffer.byteLength(JSON.stringify(text));
  return jsonBytes <= buffer.length * READABLE_GROWTH_MAX + 2 ? text : null;
}

/** The message again, but for fields that were at their default and so were not written: the caller encodes it anew. */
export function fromReadable(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(fromReadable);
  if (typeof json !== 'object' || json === null) return json;
  const names = Object.keys(json);
  if (names.length === 1 && 'text' in json && typeof json.text === 'string')
    return Buffer.from(json.text, 'utf8');
  if (names.length === 1 && 'base64' in json && typeof json.base64 === 'string')
    return Buffer.from(json.base64, 'base64');
  return Object.fromEntries(Object.entries(json).map(([name, field]) => [name, fromReadable(field)]));
}
