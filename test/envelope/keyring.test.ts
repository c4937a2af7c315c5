import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.ts';
import { ManualClock } from '../../src/base/clock.ts';
import type { ErrorCode } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { ControlKey } from '../../src/envelope/controlKey.ts';
import { newDataKey } from '../../src/envelope/dataKey.ts';
import {
  type Keyring,
  type KeyringEntry,
  keyringOf,
  withActiveKey,
  withPreparedKey,
  withRetiredKey,
  withSetAtIndex,
  withToggle,
} from '../../src/envelope/keyring.ts';
import { describeKeyring, openKeyring, sealKeyring } from '../../src/envelope/keyringForm.ts';
import {
  controlKeyOf,
  flipped,
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
    id: dataKey.id,
    commitment: dataKey.commitment,
  }));
  return { ...rest, entries, active: active.dataKey.id };
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

function threeKeys(): Keyring {
  const sources = { random: new SeededRandom(5), clock: new ManualClock() };
  const two = withPreparedKey(keyringFor('on'), sources);
  const [first, second] = [...two.keys.keys()];
  if (first === undefined || second === undefined) throw new Error('two keys are expected');
  return withPreparedKey(withRetiredKey(withActiveKey(two, second), first), sources);
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
      dataKey: newDataKey(source),
      scope: 'store',
      state: i === 0 ? 'active' : 'prepared',
      created: new Date(0).toISOString(),
    }));
    const edge = 2 ** 53 - 1;
    const fullest = keyringOf({
      storeId: STORE_ID,
      generation: edge,
      encryption: 'off',
      setAtIndex: edge,
      entries,
    });
    const bytes = sealKeyring(fullest, OURS, source);
    expect(openKeyring(bytes, [OURS]).keys.size).toBe(LIMITS.keyringKeysMax);
    expect(refusalOf(() => withPreparedKey(fullest, { random: source, clock: new ManualClock() })).code).toBe(
      'OVERLOADED',
    );
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
      (form) => Object.assign(form.keys[0] ?? {}, { id: '0000000000000000' }),
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
    ['another toggle', (form) => (form.encryption = 'maybe')],
    ['a negative generation', (form) => (form.generation = -1)],
    ['a generation beyond 2^53', (form) => (form.generation = 2 ** 53)],
    ['keys that are no list', (form) => Object.assign(form, { keys: { length: 1 } })],
    ['a wrapped key cut short', (form) => Object.assign(form.keys[0] ?? {}, { wrapped: '00' })],
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
    expect(states).toEqual(['retired', 'active', 'prepared']);
    expect(contentOf(first)).toEqual(before);
    expect(Object.isFrozen(first)).toBe(true);
    expect(Object.isFrozen(first.active)).toBe(true);
  });

  test('no step is left out', () => {
    const keyring = threeKeys();
    const [retired, active] = [...keyring.keys.keys()];
    if (retired === undefined || active === undefined) throw new Error('keys are expected');
    expect(() => withActiveKey(keyring, retired)).toThrow(InvariantViolation);
    expect(() => withRetiredKey(keyring, active)).toThrow(InvariantViolation);
    expect(() => withRetiredKey(keyring, retired)).toThrow(InvariantViolation);
    const { storeId, generation, encryption, setAtIndex } = keyring;
    expect(() => keyringOf({ storeId, generation, encryption, setAtIndex, entries: [] })).toThrow(
      InvariantViolation,
    );
  });
});

function swap(form: StoredForm, field: 'wrapped' | 'commitment'): void {
  const [first, , third] = form.keys;
  if (first === undefined || third === undefined) throw new Error('keys are expected');
  [first[field], third[field]] = [third[field], first[field]];
}
