import type { KeyObject } from 'node:crypto';
import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import { ControlKey, JwtKey } from './controlKey.ts';
import { type Fingerprint, fingerprintOf } from './fingerprint.ts';
import { type FileKey, type FileKeyState, formatKeyFile, parseKeyFile } from './keyFile.ts';
import { createSecretFile, type KeyFilePlace, readSecretFile } from './keyFileDisk.ts';
import { parseKeyText } from './keyText.ts';
import { intoSecretKey, SECRET_KEY_BYTES } from './subkey.ts';

/** The control keys that this node holds. Which one is in force is said by the keyring, not by this order. */
export interface ControlKeys {
  readonly source: 'environment' | 'file';
  readonly active: ControlKey;
  readonly prepared: readonly ControlKey[];
  readonly legacy: readonly ControlKey[];
  /** All of them, the active one first. */
  readonly all: readonly ControlKey[];
}

/** The secret that signs JWTs: 32 bytes, the same on every node. */
export interface JwtSecret {
  readonly source: 'environment' | 'file';
  readonly key: KeyObject;
  readonly fingerprint: Fingerprint;
  /** All that this node holds. Which one is in force is said by the keyring. */
  readonly all: readonly JwtKey[];
}

export interface ControlKeySources extends KeyFilePlace {
  /** Base64 or hex; the legacy keys separated by commas. The file is not looked at when the first is set. */
  readonly env: {
    readonly HOLDFAST_CONTROL_KEY?: string | undefined;
    readonly HOLDFAST_LEGACY_CONTROL_KEYS?: string | undefined;
  };
}

export interface JwtSecretSources extends KeyFilePlace {
  readonly env: { readonly HOLDFAST_JWT_SECRET?: string | undefined };
}

export interface NewKeyFile extends KeyFilePlace {
  readonly random: RandomSource;
  readonly clock: Clock;
}

/**
 * Loads the control keys from the first source that is set: the environment, then the file.
 * @throws HoldfastError CONFIG_INVALID for a value of the environment, KEY_FILE_INVALID for the file, each with a
 *   hint that says what to do and never with a key
 */
export function loadControlKeys({ env, path, dataDir }: ControlKeySources): ControlKeys {
  const activeText = env.HOLDFAST_CONTROL_KEY;
  const legacyText = env.HOLDFAST_LEGACY_CONTROL_KEYS;
  if (activeText !== undefined) return keysOfEnvironment(activeText, legacyText);
  if (legacyText !== undefined) {
    throw new HoldfastError(
      'CONFIG_INVALID',
      'HOLDFAST_LEGACY_CONTROL_KEYS is set, HOLDFAST_CONTROL_KEY is not',
      {
        field: 'HOLDFAST_LEGACY_CONTROL_KEYS',
        hint: 'Set both, or unset it and list the legacy keys in the key file.',
      },
    );
  }
  return controlKeysOf('file', readKeys({ path, dataDir }));
}

/** Loads the JWT secret by the same rules. */
export function loadJwtSecret({ env, path, dataDir }: JwtSecretSources): JwtSecret {
  const text = env.HOLDFAST_JWT_SECRET;
  if (text !== undefined) {
    const key = keyOfEnvironment('HOLDFAST_JWT_SECRET', text);
    return { source: 'environment', key, fingerprint: fingerprintOf(key), all: [new JwtKey(key)] };
  }
  return jwtSecretOf(readKeys({ path, dataDir }));
}

/** Makes a control key and its file, 0600, durable when this returns. Never overwrites (KEY_FILE_INVALID). */
export function createControlKeyFile(file: NewKeyFile): ControlKeys {
  return controlKeysOf('file', createFile(file));
}

/** Makes a JWT secret and its file by the same rules. */
export function createJwtSecretFile(file: NewKeyFile): JwtSecret {
  return jwtSecretOf(createFile(file));
}

type StatedKey = Pick<FileKey, 'key' | 'state'>;

function controlKeysOf(source: ControlKeys['source'], keys: readonly StatedKey[]): ControlKeys {
  const inState = (state: FileKeyState) =>
    keys.filter((key) => key.state === state).map(({ key }) => new ControlKey(key));
  const [prepared, legacy] = [inState('prepared'), inState('legacy')];
  const active = present(inState('active')[0], 'active control key');
  return { source, active, prepared, legacy, all: [active, ...prepared, ...legacy] };
}

function jwtSecretOf(keys: readonly FileKey[]): JwtSecret {
  const { key, fingerprint } = present(
    keys.find((known) => known.state === 'active'),
    'active JWT secret',
  );
  return { source: 'file', key, fingerprint, all: keys.map((known) => new JwtKey(known.key)) };
}

function keysOfEnvironment(activeText: string, legacyText: string | undefined): ControlKeys {
  const active = keyOfEnvironment('HOLDFAST_CONTROL_KEY', activeText);
  const field = 'HOLDFAST_LEGACY_CONTROL_KEYS';
  const texts = legacyText === undefined || legacyText.trim() === '' ? [] : legacyText.split(',');
  if (texts.length > LIMITS.controlKeysMax - 1) {
    throw new HoldfastError('CONFIG_INVALID', `${field} lists more than ${LIMITS.controlKeysMax - 1} keys`, {
      field,
    });
  }
  const keys: StatedKey[] = [{ key: active, state: 'active' }];
  for (const text of texts) keys.push({ key: keyOfEnvironment(field, text), state: 'legacy' });
  if (new Set(keys.map(({ key }) => fingerprintOf(key))).size !== keys.length) {
    throw new HoldfastError('CONFIG_INVALID', `a key stands twice in HOLDFAST_CONTROL_KEY and ${field}`, {
      field,
      hint: 'List every key once; the active one is not a legacy key.',
    });
  }
  return controlKeysOf('environment', keys);
}

function keyOfEnvironment(field: string, text: string): KeyObject {
  const trimmed = text.trim();
  const key = parseKeyText(trimmed);
  if (key !== null) return key;
  const problem = trimmed === '' ? 'is set but empty' : 'is not the base64 or hex of exactly 32 bytes';
  throw new HoldfastError('CONFIG_INVALID', `${field} ${problem}`, {
    field,
    hint: `Make one with: holdfast key generate (or openssl rand -base64 32). Unset ${field} to use the key file.`,
  });
}

function readKeys(place: KeyFilePlace): readonly FileKey[] {
  const bytes = readSecretFile(place);
  try {
    return parseKeyFile(bytes, place.path);
  } finally {
    bytes.fill(0);
  }
}

function createFile({ path, dataDir, random, clock }: NewKeyFile): readonly FileKey[] {
  const key = intoSecretKey(random.bytes(SECRET_KEY_BYTES));
  const created = new Date(clock.wallMs()).toISOString();
  const keys: readonly FileKey[] = [{ key, fingerprint: fingerprintOf(key), state: 'active', created }];
  const content = formatKeyFile(keys);
  try {
    createSecretFile({ path, dataDir }, content, random);
  } finally {
    content.fill(0);
  }
  return keys;
}
