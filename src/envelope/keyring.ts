import { assert, present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { LogIndex, StoreId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import { type DataKey, newDataKey } from './dataKey.ts';
import type { KeyId } from './format.ts';

/**
 * prepared: known, not yet used; active: seals (exactly one); legacy: still opens; retired: only its name is
 * kept, what is under it no longer opens.
 */
export const DATA_KEY_STATES = ['prepared', 'active', 'legacy', 'retired'] as const;
export type DataKeyState = (typeof DATA_KEY_STATES)[number];

/** Whose data a key seals; one value until parts of a store get keys of their own. */
export const KEY_SCOPES = ['store'] as const;
export type KeyScope = (typeof KEY_SCOPES)[number];

export const ENCRYPTION_TOGGLES = ['on', 'off'] as const;
export type EncryptionToggle = (typeof ENCRYPTION_TOGGLES)[number];

export interface KeyringEntry {
  readonly dataKey: DataKey;
  readonly scope: KeyScope;
  readonly state: DataKeyState;
  /** RFC 3339, UTC. */
  readonly created: string;
}

/** All data keys of a store and its encryption toggle. Replicated; never changed in place. */
export interface Keyring {
  readonly storeId: StoreId;
  /** Raised by one with every change. */
  readonly generation: number;
  /** One value for the whole cluster. */
  readonly encryption: EncryptionToggle;
  /** The log index at which this keyring was set; 0 for the one that init makes. */
  readonly setAtIndex: LogIndex;
  readonly keys: ReadonlyMap<KeyId, KeyringEntry>;
  /** The one entry in state `active`. */
  readonly active: KeyringEntry;
}

/** What a keyring is made of. */
export interface KeyringContent {
  readonly storeId: StoreId;
  readonly generation: number;
  readonly encryption: EncryptionToggle;
  readonly setAtIndex: LogIndex;
  readonly entries: readonly KeyringEntry[];
}

/** The first reason why this content makes no keyring, or null. */
export function keyringProblem(content: KeyringContent): string | null {
  const { entries } = content;
  if (entries.length > LIMITS.keyringKeysMax) return `it has more than ${LIMITS.keyringKeysMax} keys`;
  if (new Set(entries.map((entry) => entry.dataKey.id)).size !== entries.length)
    return 'a key id comes twice';
  if (entries.filter((entry) => entry.state === 'active').length !== 1)
    return 'not exactly one key is active';
  return null;
}

/** Content without a keyringProblem as an immutable keyring. */
export function keyringOf(content: KeyringContent): Keyring {
  const problem = keyringProblem(content);
  assert(problem === null, `keyring: ${problem ?? ''}`);
  const { storeId, generation, encryption, setAtIndex } = content;
  const entries = content.entries.map((entry) => Object.freeze({ ...entry }));
  const keys: ReadonlyMap<KeyId, KeyringEntry> = new Map(entries.map((entry) => [entry.dataKey.id, entry]));
  const active = present(
    entries.find((entry) => entry.state === 'active'),
    'active data key',
  );
  return Object.freeze({ storeId, generation, encryption, setAtIndex, keys, active });
}

export interface NewKeyringOptions {
  readonly storeId: StoreId;
  readonly encryption: EncryptionToggle;
  readonly random: RandomSource;
  readonly clock: Clock;
}

/** The first keyring of a store: one active data key, generation 1, set at index 0. */
export function createKeyring({ storeId, encryption, random, clock }: NewKeyringOptions): Keyring {
  const entry = newEntry('active', { random, clock });
  return keyringOf({ storeId, generation: 1, encryption, setAtIndex: 0, entries: [entry] });
}

/** The next generation, with this toggle. */
export function withToggle(keyring: Keyring, encryption: EncryptionToggle): Keyring {
  return nextKeyring(keyring, { encryption });
}

/** The same generation, set at this log index: the last step before the form that enters the log is sealed. */
export function withSetAtIndex(keyring: Keyring, setAtIndex: LogIndex): Keyring {
  return keyringOf({ ...keyring, setAtIndex, entries: [...keyring.keys.values()] });
}

/**
 * The next generation, with one more key in state `prepared`.
 * @throws HoldfastError OVERLOADED when the keyring is full
 */
export function withPreparedKey(keyring: Keyring, sources: { random: RandomSource; clock: Clock }): Keyring {
  if (keyring.keys.size >= LIMITS.keyringKeysMax) {
    throw new HoldfastError('OVERLOADED', `the keyring holds ${LIMITS.keyringKeysMax} data keys already`);
  }
  return nextKeyring(keyring, { entries: [...keyring.keys.values(), newEntry('prepared', sources)] });
}

/** The next generation, in which this prepared key is active and the one before is legacy. */
export function withActiveKey(keyring: Keyring, keyId: KeyId): Keyring {
  assert(keyring.keys.get(keyId)?.state === 'prepared', 'only a prepared data key becomes active');
  const entries = [...keyring.keys.values()].map((entry): KeyringEntry => {
    if (entry.dataKey.id === keyId) return { ...entry, state: 'active' };
    return entry.state === 'active' ? { ...entry, state: 'legacy' } : entry;
  });
  return nextKeyring(keyring, { entries });
}

/** The next generation, in which this key opens nothing any more. The active key is never retired. */
export function withRetiredKey(keyring: Keyring, keyId: KeyId): Keyring {
  const state = present(keyring.keys.get(keyId), 'data key to retire').state;
  assert(state === 'legacy' || state === 'prepared', 'only a legacy or prepared data key is retired');
  const entries = [...keyring.keys.values()].map(
    (entry): KeyringEntry => (entry.dataKey.id === keyId ? { ...entry, state: 'retired' } : entry),
  );
  return nextKeyring(keyring, { entries });
}

function nextKeyring(
  keyring: Keyring,
  change: Partial<Pick<KeyringContent, 'encryption' | 'entries'>>,
): Keyring {
  const entries = [...keyring.keys.values()];
  return keyringOf({ ...keyring, entries, ...change, generation: keyring.generation + 1 });
}

function newEntry(
  state: DataKeyState,
  { random, clock }: { random: RandomSource; clock: Clock },
): KeyringEntry {
  const created = new Date(clock.wallMs()).toISOString();
  return { dataKey: newDataKey(random), scope: 'store', state, created };
}
