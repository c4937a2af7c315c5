import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.ts';
import { ManualClock } from '../../src/base/clock.ts';
import type { ErrorCode } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { ControlKey } from '../../src/envelope/controlKey.ts';
import { type DataKey, newDataKey } from '../../src/envelope/dataKey.ts';
import type { Fingerprint } from '../../src/envelope/fingerprint.ts';
import {
  type Keyring,
  type KeyringEntry,
  keyIdAt,
  keyringOf,
  withNewActiveKey,
  withoutLegacyKeys,
  withSetAtIndex,
  withToggle,
} from '../../src/envelope/keyring.ts';
import { describeKeyring, openKeyring, sealKeyring } from '../../src/envelope/keyringForm.ts';
import {
  controlKeyOf,
  flipped,
  JWT_FINGERPRINT,
  keyringFor,
  OTHER_STORE_ID,
  refusalOf,
  STORE_ID,
  sealerFor,
} from './fixtures.ts';

const OURS = controlKeyOf(1);
const THEIRS = controlKeyOf(2);
const random = () => new SeededRandom(11);
const CONTEXT = { purpose: 'record', place: { kind: 'row', table: 'k', number: 1, sub: 0 } } as const;

/** Everything that can be compared of a keyring: its keys are compared by their commitments. */
function contentOf({ keys, active, ...rest }: Keyring): unknown {
  const entries = [...keys.values()].map(({ dataKey, ...entry }) => ({
    ...entry,
    commitment: dataKey?.commitment ?? null,
  }));
  return { ...rest, entries, active: active.id };
}

type StoredForm = Record<string, unknown> & { keys: Record<string, unknown>[] };

/** The stored form after `change`, with a MAC made by this control key as its holder could. */
function tampered(bytes: Buffer, controlKey: ControlKey, change: (form: StoredForm) => void): Buffer {
  const form = JSON.parse(bytes.toString()) as StoredForm;
  change(form);
  const body = JSON.stringify({ ...form, mac: undefined });
  const mac = createHmac('sha256', controlKey.subkey('keyring')).update(body).digest('hex');
  return Buffer.from(JSON.stringify({ ...form, mac }));
}

/** A retired key, active from 0; a legacy one, from 10; the active one, from 20. */
function threeKeys(): Keyring {
  const sources = { random: new SeededRandom(5), clock: new ManualClock() };
  const two = withSetAtIndex(withNewActiveKey(keyringFor('on'), sources), 10);
  return withSetAtIndex(withNewActiveKey(withoutLegacyKeys(two), sources), 20);
}

describe('the stored form', () => {
  test('opens to the same keyring, and envelopes go on opening', () => {
    const keyring = withSetAtIndex(threeKeys(), 17);
    const envelope = sealerFor(keyring).sealBytes(Buffer.from('kept'), CONTEXT);
    const opened = openKeyring(sealKeyring(keyring, OURS, random()), [THEIRS, OURS]);
    expect(contentOf(opened)).toEqual(contentOf(keyring));
    expect(opened.setAtIndex).toBe(17);
    expect(sealerFor(opened).openBytes(envelope, CONTEXT)).toEqual(Buffer.from('kept'));
  });

  test('holds no key in the clear', () => {
    const keyring = keyringFor('off');
    const bytes = sealKeyring(keyring, OURS, random());
    const key = keyring.active.dataKey.exportForWrap();
    for (const encoding of ['hex', 'base64', 'latin1'] as const) {
      expect(bytes.toString('latin1')).not.toContain(key.toString(encoding));
    }
  });

  test('wraps anew each time, with other nonces', () => {
    const source = random();
    const keyring = keyringFor('on');
    const [first, second] = [sealKeyring(keyring, OURS, source), sealKeyring(keyring, OURS, source)];
    expect(first.equals(second)).toBe(false);
  });

  test('can be described without a key', () => {
    const bytes = sealKeyring(keyringFor('on'), OURS, random());
    expect(describeKeyring(bytes)).toEqual({
      storeId: STORE_ID,
      generation: 1,
      controlKeyFingerprints: [OURS.fingerprint],
    });
  });

  test('a fullest keyring is within its limit and opens', () => {
    const source = random();
    const entries: KeyringEntry[] = Array.from({ length: LIMITS.keyringKeysMax }, (_, i) => ({
      ...keyAndId(newDataKey(source)),
      scope: 'store',
      state: i === 0 ? 'active' : 'legacy',
      created: new Date(0).toISOString(),
      activeFrom: 2 ** 53 - 1,
    }));
    const edge = 2 ** 53 - 1;
    const fullest = keyringOf({
      storeId: STORE_ID,
      generation: edge,
      encryption: 'off',
      acceptsReadable: true,
      jwtSecretFingerprint: JWT_FINGERPRINT,
      setAtIndex: edge,
      replacedControlKeys: fingerprintsUpTo(LIMITS.keyringReplacedMax),
      entries,
    });
    const bytes = sealKeyring(fullest, OURS, source);
    expect(openKeyring(bytes, [OURS]).keys.size).toBe(LIMITS.keyringKeysMax);
    expect(
      refusalOf(() => withNewActiveKey(fullest, { random: source, clock: new ManualClock() })).code,
    ).toBe('OVERLOADED');
    const overfull = tampered(bytes, OURS, (form) => form.keys.push({ ...form.keys[1] }));
    expect(refusalOf(() => openKeyring(overfull, [OURS])).message).toContain('over the limit of 1024');
    const huge = Buffer.alloc(LIMITS.keyringBytesMax + 1, ' ');
    expect(refusalOf(() => openKeyring(huge, [OURS])).message).toContain('bytes');
  });
});

describe('what does not open', () => {
  test('under another control key: both fingerprints, and what to do', () => {
    const bytes = sealKeyring(keyringFor('on'), THEIRS, random());
    const refusal = refusalOf(() => openKeyring(bytes, [OURS]));
    expect(refusal.code).toBe('CONTROL_KEY_MISMATCH');
    expect(refusal.message).toContain(`(ours ${OURS.fingerprint}, theirs ${THEIRS.fingerprint})`);
    expect(refusal.hint).toContain('HOLDFAST_CONTROL_KEY');
    expect(refusalOf(() => openKeyring(bytes, [])).message).toContain('(ours none, theirs');
  });

  test('a forged claim to be under our control key is damage, not a mismatch', () => {
    const bytes = sealKeyring(keyringFor('on'), THEIRS, random());
    const claimed = Buffer.from(bytes.toString().replaceAll(THEIRS.fingerprint, OURS.fingerprint));
    const refusal = refusalOf(() => openKeyring(claimed, [OURS]));
    expect(refusal.code).toBe('ENVELOPE_UNREADABLE');
    expect(refusal.message).toContain('MAC');
  });

  test('every truncation, and every longer form', () => {
    const bytes = sealKeyring(keyringFor('on'), OURS, random());
    for (let length = 0; length < bytes.length; length += 1) {
      expect(refusalOf(() => openKeyring(bytes.subarray(0, length), [OURS])).code).toBe(
        'ENVELOPE_UNREADABLE',
      );
    }
    for (const more of [' ', '\n', '\0']) {
      const longer = Buffer.concat([bytes, Buffer.from(more)]);
      expect(refusalOf(() => openKeyring(longer, [OURS])).code).toBe('ENVELOPE_UNREADABLE');
    }
  });

  test('every single-bit flip', () => {
    const bytes = sealKeyring(keyringFor('on'), OURS, random());
    const seen = new Map<ErrorCode, number>();
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const { code } = refusalOf(() => openKeyring(flipped(bytes, bit), [OURS]));
      seen.set(code, (seen.get(code) ?? 0) + 1);
    }
    // Another schema number and another fingerprint are told apart from damage; there is nothing else.
    expect([...seen.keys()].sort()).toEqual([
      'CONTROL_KEY_MISMATCH',
      'ENVELOPE_UNREADABLE',
      'VERSION_UNSUPPORTED',
    ]);
    expect(seen.get('VERSION_UNSUPPORTED')).toBeLessThanOrEqual(8);
    expect(seen.get('CONTROL_KEY_MISMATCH')).toBeLessThanOrEqual(64 * 8);
  });

  const changes: [string, (form: StoredForm) => void][] = [
    ['a key wrapped for another store', (form) => (form.storeId = OTHER_STORE_ID)],
    [
      'a wrapped key under another id',
      (form) => Object.assign(form.keys[1] ?? {}, { id: '0000000000000000' }),
    ],
    ['two wrapped keys swapped', (form) => swap(form, 'wrapped')],
    ['two commitments swapped', (form) => swap(form, 'commitment')],
    ['a key twice', (form) => form.keys.push({ ...form.keys[0] })],
    ['no active key', (form) => form.keys.forEach((key) => Object.assign(key, { state: 'legacy' }))],
    ['two active keys', (form) => form.keys.forEach((key) => Object.assign(key, { state: 'active' }))],
    ['an unknown state', (form) => Object.assign(form.keys[0] ?? {}, { state: 'lost' })],
    ['an unknown scope', (form) => Object.assign(form.keys[0] ?? {}, { scope: 'tenant' })],
    ['a field more', (form) => (form.note = 'x')],
    ['a field less', (form) => delete form.encryption],
    ['a toggle whose envelopes do not open', (form) => (form.encryption = 'off')],
    ['a JWT secret without a fingerprint', (form) => (form.jwtSecretFingerprint = '')],
    ['another toggle', (form) => (form.encryption = 'maybe')],
    ['a replaced control key without a fingerprint', (form) => (form.replacedControlKeys = [''])],
    ['replaced control keys that are no list', (form) => (form.replacedControlKeys = {})],
    [
      'more replaced control keys than there may be',
      (form) => (form.replacedControlKeys = fingerprintsUpTo(LIMITS.keyringReplacedMax + 1)),
    ],
    [
      'a control key that was replaced twice',
      (form) => (form.replacedControlKeys = [THEIRS.fingerprint, THEIRS.fingerprint]),
    ],
    ['a control key that was replaced', (form) => (form.replacedControlKeys = [OURS.fingerprint])],
    ['a negative generation', (form) => (form.generation = -1)],
    ['a generation beyond 2^53', (form) => (form.generation = 2 ** 53)],
    ['keys that are no list', (form) => Object.assign(form, { keys: { length: 1 } })],
    ['a wrapped key cut short', (form) => Object.assign(form.keys[1] ?? {}, { wrapped: '00' })],
    ['a retired key that is there', (form) => Object.assign(form.keys[1] ?? {}, { state: 'retired' })],
    ['a legacy key that is not', (form) => Object.assign(form.keys[0] ?? {}, { state: 'legacy' })],
    ['an index that is none', (form) => Object.assign(form.keys[1] ?? {}, { activeFrom: -1 })],
    ['a time that is none', (form) => Object.assign(form.keys[0] ?? {}, { created: '2026-13-01T00:00:00Z' })],
  ];
  test.each(changes)('%s, even with a right MAC', (_name, change) => {
    const bytes = sealKeyring(threeKeys(), OURS, random());
    expect(
      openKeyring(
        tampered(bytes, OURS, () => undefined),
        [OURS],
      ).keys.size,
    ).toBe(3);
    expect(refusalOf(() => openKeyring(tampered(bytes, OURS, change), [OURS])).code).toBe(
      'ENVELOPE_UNREADABLE',
    );
  });

  test('another text for the same values: spaces, order, doubled fields', () => {
    const text = sealKeyring(keyringFor('on'), OURS, random()).toString();
    const variants = [
      text.replace('"schema":1', '"schema": 1'),
      text.replace('"schema":1,', '"schema":1,"schema":1,'),
      text.replace('"generation":1', '"generation":1e0'),
      text.replace('{"schema":1,', '{').replace('"mac"', '"schema":1,"mac"'),
    ];
    for (const variant of variants) {
      expect(variant).not.toBe(text);
      const refusal = refusalOf(() => openKeyring(Buffer.from(variant), [OURS]));
      expect(refusal.message).toContain('canonical');
    }
  });
});

describe('changes', () => {
  test('each makes a new generation and leaves the old keyring as it was', () => {
    const first = keyringFor('on');
    const before = contentOf(first);
    const off = withToggle(first, 'off');
    expect([off.generation, off.encryption]).toEqual([2, 'off']);
    const states = [...threeKeys().keys.values()].map((entry) => entry.state);
    expect(states).toEqual(['retired', 'legacy', 'active']);
    expect(contentOf(first)).toEqual(before);
    expect(Object.isFrozen(first)).toBe(true);
    expect(Object.isFrozen(first.active)).toBe(true);
  });

  test('a new key seals what comes after the index where it was set, whatever becomes of it', () => {
    const keyring = threeKeys();
    const [first, second, third] = [...keyring.keys.keys()];
    const expected = new Map([
      [1, first],
      [10, first],
      [11, second],
      [20, second],
      [21, third],
      [2 ** 53 - 1, third],
    ]);
    for (const [index, keyId] of expected) expect(keyIdAt(keyring, index), `${index}`).toBe(keyId);
  });

  test('a retired key is gone, and an active one stays', () => {
    const retired = withoutLegacyKeys(threeKeys());
    expect([...retired.keys.values()].map(({ state, dataKey }) => [state, dataKey === null])).toEqual([
      ['retired', true],
      ['retired', true],
      ['active', false],
    ]);
    const text = sealKeyring(retired, OURS, random()).toString();
    expect(text.match(/"wrapped":""/g)).toHaveLength(2);
  });

  test('of the retired keys the newest are remembered, however often keys change', () => {
    const changes = LIMITS.keyringRetiredKept + 6;
    const sources = { random: new SeededRandom(9), clock: new ManualClock() };
    let keyring = threeKeys();
    for (let change = 1; change <= changes; change += 1) {
      const changed = withNewActiveKey(keyring, sources);
      keyring = withoutLegacyKeys(withSetAtIndex(changed, 100 * change));
    }
    expect(keyring.keys.size).toBe(LIMITS.keyringRetiredKept + 1);
    const [oldest] = [...keyring.keys.values()];
    const known = oldest?.activeFrom ?? 0;
    expect(known).toBe(100 * (changes - LIMITS.keyringRetiredKept));
    expect(keyIdAt(keyring, known + 1)).toBe(oldest?.id);
    expect(keyIdAt(keyring, known)).toBeNull();
    expect(openKeyring(sealKeyring(keyring, OURS, random()), [OURS]).keys.size).toBe(keyring.keys.size);
  });

  test('of the replaced control keys the newest are remembered, also in the stored form, and none wraps again', () => {
    const all = fingerprintsUpTo(LIMITS.keyringReplacedMax + 6);
    const sources = { random: new SeededRandom(9), clock: new ManualClock() };
    let keyring = keyringFor('on');
    for (const replaces of all) keyring = withNewActiveKey(keyring, { ...sources, replaces });
    keyring = withNewActiveKey(withToggle(withoutLegacyKeys(keyring), 'off'), sources);
    const newest = all.slice(-LIMITS.keyringReplacedMax);
    expect(keyring.replacedControlKeys).toEqual(newest);
    const kept = withSetAtIndex(keyring, 9);
    expect(openKeyring(sealKeyring(kept, OURS, random()), [OURS]).replacedControlKeys).toEqual(newest);
    const ours = withNewActiveKey(keyring, { ...sources, replaces: OURS.fingerprint });
    expect(() => sealKeyring(ours, OURS, random())).toThrow(InvariantViolation);
  });

  test('a keyring without an active key, or with a key where none should be, is none', () => {
    const keyring = threeKeys();
    const { keys: _keys, active: _active, ...content } = keyring;
    expect(() => keyringOf({ ...content, entries: [] })).toThrow(InvariantViolation);
  });
});

function fingerprintsUpTo(count: number): Fingerprint[] {
  return Array.from(
    { length: count },
    (_, at) => `sha256:${at.toString(16).padStart(64, '0')}` as Fingerprint,
  );
}

function keyAndId(dataKey: DataKey): Pick<KeyringEntry, 'id' | 'dataKey'> {
  return { id: dataKey.id, dataKey };
}

function swap(form: StoredForm, field: 'wrapped' | 'commitment'): void {
  const [, second, third] = form.keys;
  if (second === undefined || third === undefined) throw new Error('keys are expected');
  [second[field], third[field]] = [third[field], second[field]];
}
