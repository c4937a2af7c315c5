import { createHmac, timingSafeEqual } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { parseStoreId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import type { ControlKey } from './controlKey.ts';
import { type Fingerprint, isFingerprint } from './fingerprint.ts';
import { isKeyId, type KeyId, unreadable } from './format.ts';
import {
  DATA_KEY_STATES,
  ENCRYPTION_TOGGLES,
  KEY_SCOPES,
  type Keyring,
  type KeyringEntry,
  keyringOf,
  keyringProblem,
} from './keyring.ts';
import {
  choiceField,
  countField,
  exactObject,
  listField,
  parseJson,
  ShapeError,
  textField,
  timeField,
} from './shape.ts';
import { unwrapDataKey, WRAPPED_BYTES, wrapDataKey } from './wrap.ts';

/**
 * The stored form of a keyring: canonical JSON (fields in this order, no spaces), with an HMAC-SHA-256 under the
 * subkey `keyring` of the control key that wraps the active data key. Holds no key in the clear.
 */
const SCHEMA = 1;
const MAC_LABEL = 'keyring';

interface KeyForm {
  readonly id: KeyId;
  readonly scope: KeyringEntry['scope'];
  readonly state: KeyringEntry['state'];
  readonly activeFrom: number;
  /** Hex; empty when the key is retired. */
  readonly wrapped: string;
  /** Hex; empty when the key is retired. */
  readonly commitment: string;
  readonly controlKeyFingerprint: Fingerprint;
  readonly created: string;
}

interface KeyringForm {
  readonly schema: number;
  readonly storeId: Keyring['storeId'];
  readonly generation: number;
  readonly encryption: Keyring['encryption'];
  readonly acceptsReadable: boolean;
  readonly jwtSecretFingerprint: Fingerprint;
  readonly setAtIndex: number;
  readonly replacedControlKeys: readonly Fingerprint[];
  readonly keys: readonly KeyForm[];
}

const FIELDS = [
  'schema',
  'storeId',
  'generation',
  'encryption',
  'acceptsReadable',
  'jwtSecretFingerprint',
  'setAtIndex',
  'replacedControlKeys',
  'keys',
  'mac',
] as const;
const KEY_FIELDS = [
  'id',
  'scope',
  'state',
  'activeFrom',
  'wrapped',
  'commitment',
  'controlKeyFingerprint',
  'created',
] as const;
const HEX_32_PATTERN = /^[0-9a-f]{64}$/;
const WRAPPED_PATTERN = new RegExp(`^[0-9a-f]{${2 * WRAPPED_BYTES}}$`);
/** What a retired key has in place of itself. */
const NOTHING_PATTERN = /^$/;

/** The stored form of a keyring, every data key wrapped anew by this control key. */
export function sealKeyring(keyring: Keyring, controlKey: ControlKey, random: RandomSource): Buffer {
  const { storeId, generation, encryption, acceptsReadable, jwtSecretFingerprint, setAtIndex } = keyring;
  const { replacedControlKeys } = keyring;
  assert(
    !replacedControlKeys.includes(controlKey.fingerprint),
    'a replaced control key wraps nothing any more',
  );
  const keys = [...keyring.keys.values()].map(
    ({ id, dataKey, scope, state, activeFrom, created }): KeyForm => ({
      id,
      scope,
      state,
      activeFrom,
      wrapped: dataKey === null ? '' : wrapDataKey(dataKey, { storeId, controlKey, random }).toString('hex'),
      commitment: dataKey?.commitment ?? '',
      controlKeyFingerprint: controlKey.fingerprint,
      created,
    }),
  );
  const form: KeyringForm = {
    schema: SCHEMA,
    storeId,
    generation,
    encryption,
    acceptsReadable,
    jwtSecretFingerprint,
    setAtIndex,
    replacedControlKeys,
    keys,
  };
  const bytes = canonicalBytes(form, macOf(form, controlKey).toString('hex'));
  assert(bytes.length <= LIMITS.keyringBytesMax, 'a keyring of the most keys is within its bytes');
  return bytes;
}

/**
 * Opens the stored form of a keyring.
 * @param controlKeys all that this node holds, in any order
 * @throws HoldfastError CONTROL_KEY_MISMATCH naming both fingerprints when none of them wraps a key of it,
 *   VERSION_UNSUPPORTED for another schema, ENVELOPE_UNREADABLE when it is damaged or forged
 */
export function openKeyring(bytes: Buffer, controlKeys: readonly ControlKey[]): Keyring {
  const { form, mac } = parseForm(bytes);
  const macKey = heldKey(controlKeys, fingerprintInForce(form));
  if (!timingSafeEqual(macOf(form, macKey), Buffer.from(mac, 'hex'))) {
    throw damaged(`its MAC is not that of control key ${macKey.fingerprint}`);
  }
  const { storeId, generation, encryption, acceptsReadable, jwtSecretFingerprint, setAtIndex } = form;
  const entries = form.keys.map(({ id, scope, state, activeFrom, created, ...key }): KeyringEntry => {
    if (state === 'retired') return { id, dataKey: null, scope, state, activeFrom, created };
    const controlKey = heldKey(controlKeys, key.controlKeyFingerprint);
    const dataKey = unwrapDataKey(Buffer.from(key.wrapped, 'hex'), { id, storeId, controlKey });
    if (dataKey?.commitment !== key.commitment) throw damaged(`data key ${id} does not unwrap`);
    return { id, dataKey, scope, state, activeFrom, created };
  });
  const settings = { encryption, acceptsReadable, jwtSecretFingerprint };
  const { replacedControlKeys } = form;
  if (replacedControlKeys.includes(macKey.fingerprint)) throw damaged('its control key was replaced before');
  const content = { storeId, generation, ...settings, setAtIndex, replacedControlKeys, entries };
  const problem = keyringProblem(content);
  if (problem !== null) throw damaged(problem);
  return keyringOf(content);
}

/**
 * The control key in force: the one that wraps the data key which seals, whatever a key file or the environment says.
 * @throws HoldfastError as openKeyring
 */
export function controlKeyInForce(bytes: Buffer, controlKeys: readonly ControlKey[]): ControlKey {
  return heldKey(controlKeys, fingerprintInForce(parseForm(bytes).form));
}

function fingerprintInForce(form: KeyringForm): Fingerprint {
  const active = form.keys.find((key) => key.state === 'active');
  if (active === undefined) throw damaged('no data key is active');
  return active.controlKeyFingerprint;
}

/** What the stored form says without any key, unverified: for status, and to choose a key. */
export function describeKeyring(bytes: Buffer): {
  storeId: Keyring['storeId'];
  generation: number;
  controlKeyFingerprints: readonly Fingerprint[];
} {
  const { form } = parseForm(bytes);
  const fingerprints = new Set(form.keys.map((key) => key.controlKeyFingerprint));
  return {
    storeId: form.storeId,
    generation: form.generation,
    controlKeyFingerprints: [...fingerprints],
  };
}

function parseForm(bytes: Buffer): { form: KeyringForm; mac: string } {
  if (bytes.length > LIMITS.keyringBytesMax) throw damaged(`it is over ${LIMITS.keyringBytesMax} bytes`);
  try {
    const json = parseJson(bytes);
    checkSchema(json);
    const fields = exactObject(json, FIELDS);
    const form: KeyringForm = {
      schema: SCHEMA,
      storeId: parseStoreId(textField(fields.storeId, { field: 'storeId', pattern: /^[0-9a-f]{16}$/ })),
      generation: countField(fields.generation, 'generation'),
      encryption: choiceField(fields.encryption, { field: 'encryption', choices: ENCRYPTION_TOGGLES }),
      acceptsReadable: booleanField(fields.acceptsReadable, 'acceptsReadable'),
      jwtSecretFingerprint: fingerprintField(fields.jwtSecretFingerprint, 'jwtSecretFingerprint'),
      setAtIndex: countField(fields.setAtIndex, 'setAtIndex'),
      replacedControlKeys: replacedField(fields.replacedControlKeys),
      keys: listField(fields.keys, { field: 'keys', max: LIMITS.keyringKeysMax }).map(parseKey),
    };
    const mac = textField(fields.mac, { field: 'mac', pattern: HEX_32_PATTERN });
    // One text for one keyring: also refuses doubled fields, of which JSON.parse keeps the last.
    if (!canonicalBytes(form, mac).equals(bytes)) throw new ShapeError('it is not in canonical form');
    return { form, mac };
  } catch (thrown) {
    if (thrown instanceof ShapeError) throw damaged(thrown.message);
    throw thrown;
  }
}

function parseKey(json: unknown): KeyForm {
  const fields = exactObject(json, KEY_FIELDS);
  const { id, controlKeyFingerprint } = fields;
  if (typeof id !== 'string' || !isKeyId(id)) throw new ShapeError('id is not well formed');
  const state = choiceField(fields.state, { field: 'state', choices: DATA_KEY_STATES });
  const [wrapped, commitment] =
    state === 'retired' ? [NOTHING_PATTERN, NOTHING_PATTERN] : [WRAPPED_PATTERN, HEX_32_PATTERN];
  return {
    id,
    scope: choiceField(fields.scope, { field: 'scope', choices: KEY_SCOPES }),
    state,
    activeFrom: countField(fields.activeFrom, 'activeFrom'),
    wrapped: textField(fields.wrapped, { field: 'wrapped', pattern: wrapped }),
    commitment: textField(fields.commitment, { field: 'commitment', pattern: commitment }),
    controlKeyFingerprint: fingerprintField(controlKeyFingerprint, 'controlKeyFingerprint'),
    created: timeField(fields.created, 'created'),
  };
}

function booleanField(value: unknown, field: string): boolean {
  if (typeof value === 'boolean') return value;
  throw new ShapeError(`${field} must be true or false`);
}

function replacedField(value: unknown): readonly Fingerprint[] {
  const field = 'replacedControlKeys';
  return listField(value, { field, max: LIMITS.keyringReplacedMax }).map((one) =>
    fingerprintField(one, field),
  );
}

function fingerprintField(value: unknown, field: string): Fingerprint {
  if (typeof value === 'string' && isFingerprint(value)) return value;
  throw new ShapeError(`${field} is not well formed`);
}

function checkSchema(json: unknown): void {
  const schema = typeof json === 'object' && json !== null && 'schema' in json ? json.schema : undefined;
  if (!Number.isSafeInteger(schema)) throw new ShapeError('schema must be a whole number');
  if (schema !== SCHEMA) {
    throw new HoldfastError(
      'VERSION_UNSUPPORTED',
      `the keyring has schema ${String(schema)}; this program knows schema ${SCHEMA}`,
      { hint: 'Run the release of holdfast that wrote it, or a later one.' },
    );
  }
}

function canonicalBytes(form: KeyringForm, mac: string | undefined): Buffer {
  return Buffer.from(JSON.stringify({ ...form, mac }), 'utf8');
}

function macOf(form: KeyringForm, controlKey: ControlKey): Buffer {
  return createHmac('sha256', controlKey.subkey(MAC_LABEL)).update(canonicalBytes(form, undefined)).digest();
}

function heldKey(controlKeys: readonly ControlKey[], fingerprint: Fingerprint): ControlKey {
  const held = controlKeys.find((key) => key.fingerprint === fingerprint);
  if (held !== undefined) return held;
  const ours = controlKeys.map((key) => key.fingerprint).join(', ') || 'none';
  throw new HoldfastError(
    'CONTROL_KEY_MISMATCH',
    `the keyring is wrapped by another control key (ours ${ours}, theirs ${fingerprint})`,
    {
      field: 'control_key',
      hint: 'Give this node the control key of the cluster: its key file, or HOLDFAST_CONTROL_KEY.',
    },
  );
}

function damaged(reason: string): HoldfastError {
  return unreadable(`the keyring does not open: ${reason}`);
}
