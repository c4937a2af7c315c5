import { assert, present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { LogIndex, StoreId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import { type DataKey, newDataKey } from './dataKey.ts';
import type { Fingerprint } from './fingerprint.ts';
import type { KeyId } from './format.ts';

/** active: seals (exactly one); legacy: still opens; retired: only its name is kept, what is under it no longer opens. */
export const DATA_KEY_STATES = ['active', 'legacy', 'retired'] as const;
export type DataKeyState = (typeof DATA_KEY_STATES)[number];

/** Whose data a key seals; one value until parts of a store get keys of their own. */
export const KEY_SCOPES = ['store'] as const;
export type KeyScope = (typeof KEY_SCOPES)[number];

export const ENCRYPTION_TOGGLES = ['on', 'off'] as const;
export type EncryptionToggle = (typeof ENCRYPTION_TOGGLES)[number];

export interface KeyringEntry {
  readonly id: KeyId;
  /** Null when it is retired, and only then. */
  readonly dataKey: DataKey | null;
  readonly scope: KeyScope;
  readonly state: DataKeyState;
  /** Log entries above this index are sealed under it, until another key becomes active. */
  readonly activeFrom: LogIndex;
  /** RFC 3339, UTC. */
  readonly created: string;
}

/** The key that seals. */
export interface ActiveKey extends KeyringEntry {
  readonly dataKey: DataKey;
}

/** All data keys of a store and its encryption toggle. Replicated; never changed in place. */
export interface Keyring {
  readonly storeId: StoreId;
  /** Raised by one with every change. */
  readonly generation: number;
  /** One value for the whole cluster. */
  readonly encryption: EncryptionToggle;
  /** Whether readable envelopes (suite 0) open: with the toggle off, and afterwards until nobody has any. */
  readonly acceptsReadable: boolean;
  /** Of the JWT secret in force. */
  readonly jwtSecretFingerprint: Fingerprint;
  /** The log index at which this keyring was set; 0 for the one that init makes. */
  readonly setAtIndex: LogIndex;
  /** Of control keys that were in force before, the latest last: whoever holds one of them proves nothing by it. */
  readonly replacedControlKeys: readonly Fingerprint[];
  readonly keys: ReadonlyMap<KeyId, KeyringEntry>;
  /** The one entry in state `active`. */
  readonly active: ActiveKey;
}

/** What a keyring is made of. */
export interface KeyringContent {
  readonly storeId: StoreId;
  readonly generation: number;
  readonly encryption: EncryptionToggle;
  readonly acceptsReadable: boolean;
  readonly jwtSecretFingerprint: Fingerprint;
  readonly setAtIndex: LogIndex;
  readonly replacedControlKeys: readonly Fingerprint[];
  readonly entries: readonly KeyringEntry[];
}

/** The first reason why this content makes no keyring, or null. */
export function keyringProblem(content: KeyringContent): string | null {
  const { entries, replacedControlKeys: replaced } = content;
  if (replaced.length > LIMITS.keyringReplacedMax)
    return `it names more than ${LIMITS.keyringReplacedMax} replaced control keys`;
  if (new Set(replaced).size !== replaced.length) return 'a control key was replaced twice';
  if (entries.length > LIMITS.keyringKeysMax) return `it has more than ${LIMITS.keyringKeysMax} keys`;
  if (new Set(entries.map((entry) => entry.id)).size !== entries.length) return 'a key id comes twice';
  if (entries.some(({ id, dataKey, state }) => (dataKey?.id ?? null) !== (state === 'retired' ? null : id)))
    return 'a key is there that should not be, or is not there that should';
  if (content.encryption === 'off' && !content.acceptsReadable) return 'what it seals does not open';
  if (entries.filter((entry) => entry.state === 'active').length !== 1)
    return 'not exactly one key is active';
  return null;
}

/** Content without a keyringProblem as an immutable keyring. */
export function keyringOf(content: KeyringContent): Keyring {
  const problem = keyringProblem(content);
  assert(problem === null, `keyring: ${problem ?? ''}`);
  const { storeId, generation, encryption, acceptsReadable, jwtSecretFingerprint, setAtIndex } = content;
  const replacedControlKeys = Object.freeze([...content.replacedControlKeys]);
  const entries = content.entries.map((entry) => Object.freeze({ ...entry }));
  const keys: ReadonlyMap<KeyId, KeyringEntry> = new Map(entries.map((entry) => [entry.id, entry]));
  const active = present(entries.find(isActive), 'active data key');
  return Object.freeze({
    storeId,
    generation,
    encryption,
    acceptsReadable,
    jwtSecretFingerprint,
    setAtIndex,
    replacedControlKeys,
    keys,
    active,
  });
}

function isActive(entry: KeyringEntry): entry is ActiveKey {
  return entry.state === 'active' && entry.dataKey !== null;
}

export interface NewKeyringOptions {
  readonly storeId: StoreId;
  readonly encryption: EncryptionToggle;
  readonly jwtSecretFingerprint: Fingerprint;
  readonly random: RandomSource;
  readonly clock: Clock;
}

/** The first keyring of a store: one active data key, generation 1, set at index 0. */
export function createKeyring({ random, clock, ...of }: NewKeyringOptions): Keyring {
  const entries = [{ ...newActiveKey({ random, clock }), activeFrom: 0 }];
  const acceptsReadable = of.encryption === 'off';
  return keyringOf({
    ...of,
    acceptsReadable,
    generation: 1,
    setAtIndex: 0,
    replacedControlKeys: [],
    entries,
  });
}

/** The next generation, with this toggle. What lies readable goes on opening. */
export function withToggle(keyring: Keyring, encryption: EncryptionToggle): Keyring {
  return nextKeyring(keyring, {
    encryption,
    acceptsReadable: keyring.acceptsReadable || encryption === 'off',
  });
}

/** The next generation, in which nothing readable opens any more unless the toggle is off. */
export function withoutReadable(keyring: Keyring): Keyring {
  return nextKeyring(keyring, { acceptsReadable: keyring.encryption === 'off' });
}

/** The next generation, with this JWT secret in force. */
export function withJwtSecret(keyring: Keyring, jwtSecretFingerprint: Fingerprint): Keyring {
  return nextKeyring(keyring, { jwtSecretFingerprint });
}

/** The same generation, set at this log index: the last step before the form that enters the log is sealed. */
export function withSetAtIndex(keyring: Keyring, setAtIndex: LogIndex): Keyring {
  const entries = [...keyring.keys.values()].map((entry) =>
    entry.activeFrom === NOT_YET ? { ...entry, activeFrom: setAtIndex } : entry,
  );
  return keyringOf({ ...keyring, setAtIndex, entries });
}

export interface NewActiveKey {
  readonly random: RandomSource;
  readonly clock: Clock;
  /** The control key that was in force, when another one comes with the data key. */
  readonly replaces?: Fingerprint;
}

/**
 * The next generation, in which a new key is active from the index where it is set, and the one before is legacy. Of
 * replaced control keys the newest are remembered.
 * @throws HoldfastError OVERLOADED when the keyring is full
 */
export function withNewActiveKey(keyring: Keyring, { replaces, ...sources }: NewActiveKey): Keyring {
  if (keyring.keys.size >= LIMITS.keyringKeysMax) {
    throw new HoldfastError('OVERLOADED', `the keyring holds ${LIMITS.keyringKeysMax} data keys already`, {
      hint: 'seal everything under the newest one, and retire the others: holdfast cluster rewrap',
    });
  }
  const before = [...keyring.keys.values()].map(
    (entry): KeyringEntry => (entry.state === 'active' ? { ...entry, state: 'legacy' } : entry),
  );
  const entries = [...before, newActiveKey(sources)];
  if (replaces === undefined) return nextKeyring(keyring, { entries });
  const replaced = [...keyring.replacedControlKeys, replaces].slice(-LIMITS.keyringReplacedMax);
  return nextKeyring(keyring, { entries, replacedControlKeys: replaced });
}

/** The next generation, in which no legacy key opens anything any more. Of the retired ones the newest are remembered. */
export function withoutLegacyKeys(keyring: Keyring): Keyring {
  const entries = [...keyring.keys.values()].map(
    (entry): KeyringEntry =>
      entry.state === 'legacy' ? { ...entry, state: 'retired', dataKey: null } : entry,
  );
  const retired = entries.filter(({ state }) => state === 'retired');
  const forgotten = new Set(retired.slice(0, -LIMITS.keyringRetiredKept));
  return nextKeyring(keyring, { entries: entries.filter((entry) => !forgotten.has(entry)) });
}

/**
 * The key that an entry at this index has to be sealed under, whatever has become of it since. Null: it was retired so
 * many changes ago that the keyring has forgotten it.
 */
export function keyIdAt(keyring: Keyring, index: LogIndex): KeyId | null {
  let found: KeyringEntry | null = null;
  for (const entry of keyring.keys.values())
    if (entry.activeFrom < index && (found === null || entry.activeFrom > found.activeFrom)) found = entry;
  return found?.id ?? null;
}

/** A new key is active from the index that its keyring is set at, which is known last. */
const NOT_YET = Number.MAX_SAFE_INTEGER;

function nextKeyring(
  keyring: Keyring,
  change: Partial<
    Pick<
      KeyringContent,
      'encryption' | 'acceptsReadable' | 'jwtSecretFingerprint' | 'replacedControlKeys' | 'entries'
    >
  >,
): Keyring {
  const entries = [...keyring.keys.values()];
  return keyringOf({ ...keyring, entries, ...change, generation: keyring.generation + 1 });
}

function newActiveKey({ random, clock }: { random: RandomSource; clock: Clock }): KeyringEntry {
  const dataKey = newDataKey(random);
  const created = new Date(clock.wallMs()).toISOString();
  return { id: dataKey.id, dataKey, scope: 'store', state: 'active', created, activeFrom: NOT_YET };
}
