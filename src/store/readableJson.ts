import { isUtf8 } from 'node:buffer';
import { asBuffer } from '../base/bytes.ts';

/** The bytes fields of every stored row, by name; no row has a text field of one of these names. */
const BYTES_FIELDS: ReadonlySet<string> = new Set([
  'key',
  'value',
  'hash',
  'digest',
  'bodyHash',
  'secretHash',
  'csrKeyHash',
  'certificate',
  'privateKey',
  'previousHash',
  'auditHash',
  'signature',
  'resource',
  'resourceEnd',
]);
const BASE64_SUFFIX = 'Base64';
const BASE64_PATTERN = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * A decoded message as JSON for people: bytes are text when they are valid UTF-8 and else `<field>Base64`. Fields
 * that are not set are left out, so that the way back gives the same encoding.
 */
export function readableJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(readableJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([field, content]) => {
      if (!(content instanceof Uint8Array)) return [field, readableJson(content)];
      return isUtf8(content)
        ? [field, asBuffer(content).toString('utf8')]
        : [field + BASE64_SUFFIX, asBuffer(content).toString('base64')];
    }),
  );
}

/** The inverse of readableJson. @throws TypeError on what it never makes */
export function fromReadableJson(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(fromReadableJson);
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(Object.entries(json).map(([field, content]) => readField(field, content)));
}

function readField(field: string, content: unknown): [string, unknown] {
  if (BYTES_FIELDS.has(field)) return [field, Buffer.from(text(content), 'utf8')];
  const plain = field.endsWith(BASE64_SUFFIX) ? field.slice(0, -BASE64_SUFFIX.length) : '';
  if (!BYTES_FIELDS.has(plain)) return [field, fromReadableJson(content)];
  const base64 = text(content);
  if (!BASE64_PATTERN.test(base64)) throw new TypeError(`${field} is not base64`);
  return [plain, Buffer.from(base64, 'base64')];
}

function text(content: unknown): string {
  if (typeof content !== 'string') throw new TypeError('a bytes field is text');
  return content;
}
