import type { KeyObject } from 'node:crypto';
import { HoldfastError } from '../base/errors.ts';
import { type Fingerprint, fingerprintOf, isFingerprint } from './fingerprint.ts';
import { parseKeyBase64 } from './keyText.ts';
import { choiceField, exactObject, listField, parseJson, ShapeError, timeField } from './shape.ts';

/**
 * The content of a key file, for control keys and for the JWT secret:
 *
 *   {"schema":1,"keys":[{"fingerprint":"sha256:…","key":"base64","state":"active","created":"RFC 3339"}]}
 */
const SCHEMA = 1;
const FILE_KEYS_MAX = 64;
const FIELDS = ['schema', 'keys'] as const;
const KEY_FIELDS = ['fingerprint', 'key', 'state', 'created'] as const;

/** prepared: a rekey brings it in; active: this node's own; legacy: still opens what it wrapped. */
export const FILE_KEY_STATES = ['prepared', 'active', 'legacy'] as const;
export type FileKeyState = (typeof FILE_KEY_STATES)[number];

export interface FileKey {
  readonly key: KeyObject;
  readonly fingerprint: Fingerprint;
  readonly state: FileKeyState;
  /** RFC 3339, UTC. */
  readonly created: string;
}

/**
 * Parses the bytes of a key file: exactly one active key, no key twice, every fingerprint that of its key.
 * @throws HoldfastError KEY_FILE_INVALID, naming the file and the reason, never a key
 */
export function parseKeyFile(bytes: Buffer, path: string): readonly FileKey[] {
  try {
    const json = parseJson(bytes);
    checkSchema(json);
    const fields = exactObject(json, FIELDS);
    const keys = listField(fields.keys, { field: 'keys', max: FILE_KEYS_MAX }).map(parseKey);
    if (keys.filter((key) => key.state === 'active').length !== 1) {
      throw new ShapeError('exactly one key must have the state active');
    }
    if (new Set(keys.map((key) => key.fingerprint)).size !== keys.length) {
      throw new ShapeError('a key stands in it twice');
    }
    return keys;
  } catch (thrown) {
    if (!(thrown instanceof ShapeError)) throw thrown;
    throw keyFileInvalid(
      path,
      thrown.message,
      'Restore the file from its copy; it is never repaired by guessing.',
    );
  }
}

/** The bytes of a key file, which the caller wipes. */
export function formatKeyFile(keys: readonly FileKey[]): Buffer {
  const listed = keys.map(({ key, fingerprint, state, created }) => {
    const bytes = key.export();
    const text = bytes.toString('base64');
    bytes.fill(0);
    return { fingerprint, key: text, state, created };
  });
  const text = `${JSON.stringify({ schema: SCHEMA, keys: listed }, null, 2)}\n`;
  const file = Buffer.alloc(Buffer.byteLength(text));
  file.write(text);
  return file;
}

/** The refusal of a key file: what is wrong, and what to do. */
export function keyFileInvalid(path: string, problem: string, hint: string): HoldfastError {
  return new HoldfastError('KEY_FILE_INVALID', `key file ${path}: ${problem}`, { field: path, hint });
}

function parseKey(json: unknown): FileKey {
  const fields = exactObject(json, KEY_FIELDS);
  const { fingerprint } = fields;
  const key = typeof fields.key === 'string' ? parseKeyBase64(fields.key) : null;
  if (key === null) throw new ShapeError('a key is not the base64 of exactly 32 bytes');
  if (typeof fingerprint !== 'string' || !isFingerprint(fingerprint)) {
    throw new ShapeError('a fingerprint is not sha256: and 64 lower-case hex digits');
  }
  const actual = fingerprintOf(key);
  if (actual !== fingerprint) {
    throw new ShapeError(`a key has the fingerprint ${actual}, and not ${fingerprint} as the file says`);
  }
  const state = choiceField(fields.state, { field: 'state', choices: FILE_KEY_STATES });
  return { key, fingerprint, state, created: timeField(fields.created, 'created') };
}

function checkSchema(json: unknown): void {
  const schema = typeof json === 'object' && json !== null && 'schema' in json ? json.schema : undefined;
  if (schema !== SCHEMA) throw new ShapeError(`its schema is not ${SCHEMA}, the only one known here`);
}
