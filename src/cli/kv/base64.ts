import { HoldfastError } from '../../base/errors.ts';

/** Bytes from strict base64 (RFC 4648, with padding). @throws HoldfastError USAGE naming the field */
export function decodeBase64(text: string, field: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  // Buffer.from skips what is not base64: only a text that comes out the same again was one.
  if (bytes.toString('base64') === text) return bytes;
  throw new HoldfastError('USAGE', `${field} is not base64`, {
    field,
    hint: 'write it as base64 prints it, with its padding',
  });
}
