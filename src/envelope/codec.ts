import { asBuffer } from '../base/bytes.ts';

/**
 * How values of one kind become the body of an envelope: bytes while the encryption toggle is on, readable JSON
 * while it is off. decode(encode(v)) and fromJson(JSON(toJson(v))) both give v back.
 */
export interface SealedCodec<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
  /** A JSON value for people to read, with the value's own field names; complete. Called only with the toggle off. */
  toJson(value: T): unknown;
  /** Throws on what toJson never makes. */
  fromJson(json: unknown): T;
}

const BASE64_PATTERN = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Bytes as they are; as JSON `{"base64": …}`. */
export const bytesCodec: SealedCodec<Uint8Array> = {
  encode: (value) => value,
  decode: (bytes) => bytes,
  toJson: (value) => ({ base64: asBuffer(value).toString('base64') }),
  fromJson(json) {
    const text = typeof json === 'object' && json !== null && 'base64' in json ? json.base64 : undefined;
    if (typeof text !== 'string' || !BASE64_PATTERN.test(text)) throw new TypeError('not base64');
    return Buffer.from(text, 'base64');
  },
};
