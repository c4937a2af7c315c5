import type { KeyObject } from 'node:crypto';
import { intoSecretKey, SECRET_KEY_BYTES } from './subkey.ts';

const BASE64_PATTERN = /^[A-Za-z0-9+/]{43}=$/;
const HEX_PATTERN = /^[0-9a-fA-F]{64}$/;

/** A key from padded base64 or hex of exactly 32 bytes, or null when the text is neither. */
export function parseKeyText(text: string): KeyObject | null {
  if (HEX_PATTERN.test(text)) return decode(text, 'hex');
  return parseKeyBase64(text);
}

/** A key from canonical padded base64 of exactly 32 bytes, or null. */
export function parseKeyBase64(text: string): KeyObject | null {
  return BASE64_PATTERN.test(text) ? decode(text, 'base64') : null;
}

function decode(text: string, encoding: 'hex' | 'base64'): KeyObject | null {
  const bytes = Buffer.alloc(SECRET_KEY_BYTES);
  bytes.write(text, encoding);
  // The last base64 digit has two bits that stand for nothing: they must be zero, so that a key has one text.
  if (encoding === 'base64' && bytes.toString('base64') !== text) return null;
  return intoSecretKey(bytes);
}
