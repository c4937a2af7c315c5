import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { ControlKey } from '../../src/envelope/controlKey.ts';
import type { Fingerprint } from '../../src/envelope/fingerprint.ts';
import { HeldKeys } from '../../src/envelope/heldKeys.ts';
import { createControlKeyFile, loadControlKeys } from '../../src/envelope/keySources.ts';
import { unwrapOperatorKey, wrapOperatorKey } from '../../src/envelope/keyTransfer.ts';
import { controlKeyOf, refusalOf } from './fixtures.ts';

let folder: string;
let path: string;
let first: Fingerprint;
const sources = { random: systemRandom, clock: new ManualClock() };
const place = () => ({ path, dataDir: join(folder, 'data') });
const held = (env: object = {}) =>
  new HeldKeys({
    ...loadControlKeys({ ...place(), env }),
    place: place(),
    wrap: (key) => new ControlKey(key),
    variable: 'HOLDFAST_CONTROL_KEY',
    environmentHint: 'then: holdfast cluster rekey --provided',
    ...sources,
  });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-keys-'));
  mkdirSync(join(folder, 'secret'));
  path = join(folder, 'secret', 'control.json');
  first = createControlKeyFile({ ...place(), ...sources }).active.fingerprint;
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What another process would load now. */
const states = (): object => {
  const { active, prepared, legacy } = loadControlKeys({ ...place(), env: {} });
  const of = (keys: readonly { fingerprint: string }[]) => keys.map(({ fingerprint }) => fingerprint);
  return { active: active.fingerprint, prepared: of(prepared), legacy: of(legacy) };
};

describe('the control keys of a running node', () => {
  it('take in a new one, which is in the file before it counts, beside the others', () => {
    const keys = held();
    const made = keys.make();
    expect(keys.find(made.fingerprint)).toBe(made);
    expect(states()).toEqual({ active: first, prepared: [made.fingerprint], legacy: [] });
    expect(keys.prepared).toEqual([made.fingerprint]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(folder, 'secret'))).toEqual(['control.json']);
    keys.inForce(made.fingerprint);
    expect(states()).toEqual({ active: made.fingerprint, prepared: [], legacy: [first] });
    keys.remove(first);
    expect(states()).toEqual({ active: made.fingerprint, prepared: [], legacy: [] });
    expect(keys.all.map(({ fingerprint }) => fingerprint)).toEqual([made.fingerprint]);
    keys.remove(first);
  });

  it('are in the file once, whoever else uses it and has stored the same', () => {
    const [one, other] = [held(), held()];
    const theirs = controlKeyOf(7).fingerprint;
    for (const keys of [one, other]) expect(keys.take(Buffer.alloc(32, 7), theirs).fingerprint).toBe(theirs);
    expect(states()).toEqual({ active: first, prepared: [theirs], legacy: [] });
    // What was held is not proved by a file that does not have it any more; it is stored again.
    const before = readFileSync(path);
    one.remove(theirs);
    expect(other.find(theirs)).not.toBeNull();
    expect(other.findStored(theirs)).toBeNull();
    other.take(Buffer.alloc(32, 7), theirs);
    expect(other.findStored(theirs)).not.toBeNull();
    expect(readFileSync(path).length).toBe(before.length);
  });

  it('are not written as a file that no start would accept', () => {
    const keys = held();
    const made = keys.make();
    const before = readFileSync(path);
    keys.inForce(made.fingerprint);
    // Somebody puts the file of before the change back, without the key that is in force.
    const old = JSON.parse(before.toString()) as { keys: { state: string }[] };
    writeFileSync(path, JSON.stringify({ ...old, keys: old.keys.filter(({ state }) => state === 'active') }));
    const putBack = readFileSync(path);
    expect(refusalOf(() => keys.inForce(made.fingerprint)).code).toBe('KEY_FILE_INVALID');
    expect(readFileSync(path)).toEqual(putBack);
    expect(states()).toMatchObject({ active: first });
  });

  it('take one that another member has made, once, and only the one that was named', () => {
    const [keys, theirs] = [held(), controlKeyOf(7)];
    const bytes = (): Buffer => Buffer.alloc(32, 7);
    const refusal = refusalOf(() => keys.take(bytes(), controlKeyOf(8).fingerprint));
    expect(refusal.code).toBe('CONTROL_KEY_MISMATCH');
    expect(refusalOf(() => keys.take(Buffer.alloc(31), theirs.fingerprint)).code).toBe(
      'CONTROL_KEY_MISMATCH',
    );
    expect(states()).toMatchObject({ prepared: [] });
    const given = bytes();
    expect(keys.take(given, theirs.fingerprint).fingerprint).toBe(theirs.fingerprint);
    expect(given.equals(Buffer.alloc(32))).toBe(true);
    const before = readFileSync(path);
    keys.take(bytes(), theirs.fingerprint);
    expect(readFileSync(path)).toEqual(before);
    expect(states()).toMatchObject({ active: first, prepared: [theirs.fingerprint] });
  });

  it('leave another prepared key as it is when one comes into force', () => {
    const keys = held();
    const [second, third] = [keys.make(), keys.make()];
    keys.inForce(second.fingerprint);
    expect(states()).toEqual({ active: second.fingerprint, prepared: [third.fingerprint], legacy: [first] });
  });

  it('say what is wrong with a file that others can read, and keep what they had', () => {
    const keys = held();
    chmodSync(path, 0o644);
    expect(refusalOf(() => keys.make()).code).toBe('KEY_FILE_INVALID');
    expect(keys.all).toHaveLength(1);
  });

  it('from the environment are the operator’s to change', () => {
    const text = (byte: number): string => Buffer.alloc(32, byte).toString('base64');
    const env = { HOLDFAST_CONTROL_KEY: text(7), HOLDFAST_LEGACY_CONTROL_KEYS: text(8) };
    const keys = held(env);
    expect(keys.source).toBe('environment');
    const refusal = refusalOf(() => keys.make());
    expect([refusal.code, refusal.hint]).toEqual(['KEY_FILE_INVALID', expect.stringContaining('--provided')]);
    expect(keys.take(Buffer.alloc(32, 8), controlKeyOf(8).fingerprint).fingerprint).toBe(
      controlKeyOf(8).fingerprint,
    );
    const before = readFileSync(path);
    keys.inForce(controlKeyOf(8).fingerprint);
    keys.remove(controlKeyOf(7).fingerprint);
    expect(keys.all).toHaveLength(2);
    expect(readFileSync(path)).toEqual(before);
    expect(keys.prepared).toEqual([]);
  });
});

describe('a control key on its way', () => {
  const [key, under] = [controlKeyOf(7), controlKeyOf(1)];
  const transfer = { changeId: 'one', to: 'node', fingerprint: key.fingerprint };
  const wrapped = (): Buffer => wrapOperatorKey(key, { under, transfer, random: systemRandom });

  it('opens for whom it is meant, under the key in force', () => {
    expect(unwrapOperatorKey(wrapped(), { under, transfer })).toEqual(Buffer.alloc(32, 7));
    expect(wrapped().equals(wrapped())).toBe(false);
  });

  it.each([
    ['another member', { transfer: { ...transfer, to: 'other' } }],
    ['another change', { transfer: { ...transfer, changeId: 'two' } }],
    ['another fingerprint', { transfer: { ...transfer, fingerprint: under.fingerprint } }],
    ['another key in force', { under: controlKeyOf(2) }],
  ])('opens for nothing else: %s', (_what, change) => {
    expect(unwrapOperatorKey(wrapped(), { under, transfer, ...change })).toBeNull();
  });

  it('opens neither changed nor cut', () => {
    const bytes = wrapped();
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(unwrapOperatorKey(changed, { under, transfer }), `${at}`).toBeNull();
    }
    expect(unwrapOperatorKey(bytes.subarray(1), { under, transfer })).toBeNull();
  });
});
