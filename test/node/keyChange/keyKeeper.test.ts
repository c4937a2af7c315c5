import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import type { ControlKey } from '../../../src/envelope/controlKey.ts';
import { withSetAtIndex } from '../../../src/envelope/keyring.ts';
import { createControlKeyFile, createJwtSecretFile } from '../../../src/envelope/keySources.ts';
import { KeyKeeper } from '../../../src/node/keyChange/keyKeeper.ts';
import { POSSESSION_NONCE_BYTES, provesPossession } from '../../../src/node/keyChange/possession.ts';
import type { KeyringFile } from '../../../src/node/keyringFile.ts';
import { openKeys, type RunningKeys } from '../../../src/node/keys.ts';
import type { KeyChangeRow } from '../../../src/proto/storage.ts';
import { keyringFor, refusalOf } from '../../envelope/fixtures.ts';

const OWN = '00000000000000aa' as NodeId;
const LEADER = '00000000000000bb' as NodeId;
const SET_AT = 100;
const nonce = Buffer.alloc(POSSESSION_NONCE_BYTES, 1);

let folder: string;
let keys: RunningKeys;
let controlKey: ControlKey;
let change: KeyChangeRow | null;
let durableIndex: number;
let isReplayed: boolean;
let keeper: KeyKeeper;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-keeper-'));
  mkdirSync(join(folder, 'secret'), { mode: 0o700 });
  const sources = { random: new SeededRandom(1), clock: new ManualClock(), dataDir: join(folder, 'data') };
  createControlKeyFile({ ...sources, path: controlKeyPath() });
  createJwtSecretFile({ ...sources, path: jwtSecretPath() });
  [change, durableIndex, isReplayed] = [null, 0, true];
  restart();
});
afterEach(() => rmSync(folder, { recursive: true }));

const controlKeyPath = (): string => join(folder, 'secret', 'control.json');
const jwtSecretPath = (): string => join(folder, 'secret', 'jwt.json');

/** As another process finds them. */
function opened(): RunningKeys {
  return openKeys({
    controlKeyPath: controlKeyPath(),
    jwtSecretPath: jwtSecretPath(),
    dataDir: join(folder, 'data'),
    keyEnvironment: new Map(),
  });
}

const stored = (): readonly string[] => opened().control.all.map(({ fingerprint }) => fingerprint);

/** Another process, with what the files hold now. */
function restart(): void {
  keys = opened();
  controlKey = keys.control.all[0] as ControlKey;
  const [jwt] = keys.jwt.all;
  const keyring = {
    get keyring() {
      return { ...withSetAtIndex(keyringFor('on'), SET_AT), jwtSecretFingerprint: jwt?.fingerprint };
    },
    get controlKey() {
      return controlKey;
    },
  } as unknown as KeyringFile;
  keeper = new KeyKeeper({
    nodeId: OWN,
    keys,
    keyring,
    change: () => change,
    durableIndex: () => durableIndex,
    isReplayed: () => isReplayed,
    random: new SeededRandom(2),
  });
}

function rekey(more: Partial<KeyChangeRow> = {}): KeyChangeRow {
  return {
    id: 'c1',
    kind: 'rekey',
    phase: 'preparing',
    encryption: '',
    newFingerprint: '',
    previousFingerprint: '',
    replacedFingerprints: [],
    source: 'file',
    confirmed: false,
    members: [],
    startedMs: 1,
    endedMs: 0,
    ...more,
  };
}

/** A rekey whose new key is in the file and in force. */
function inForce(): { readonly old: string; readonly made: string } {
  const old = controlKey.fingerprint;
  change = rekey();
  const made = keeper.make(change).fingerprint;
  change = rekey({ phase: 'rewriting', newFingerprint: made, previousFingerprint: old, confirmed: true });
  controlKey = keys.control.find(made) as ControlKey;
  return { old, made };
}

describe('the keeper of a node', () => {
  it('makes one key for one change, however often it is asked', () => {
    change = rekey();
    const [first, again] = [keeper.make(change), keeper.make(change)];
    expect(again.fingerprint).toBe(first.fingerprint);
    expect(stored()).toEqual([controlKey.fingerprint, first.fingerprint]);
    expect(keeper.make({ ...change, id: 'c2' }).fingerprint).not.toBe(first.fingerprint);
  });

  it('gives the former key up only when its state on disk needs no other (I47)', () => {
    const { old, made } = inForce();
    keeper.tidy();
    expect(stored()).toEqual([made, old]);
    change = { ...(change as KeyChangeRow), phase: 'finished' };
    durableIndex = SET_AT - 1;
    keeper.tidy();
    expect(stored()).toEqual([made, old]);
    durableIndex = SET_AT;
    keeper.tidy();
    expect(stored()).toEqual([made]);
  });

  it('gives it up though another change has begun meanwhile', () => {
    const { old, made } = inForce();
    change = rekey({ id: 'c2', kind: 'rotate', replacedFingerprints: [old] });
    durableIndex = SET_AT;
    keeper.tidy();
    expect(stored()).toEqual([made]);
  });

  it('never gives up the key in force, whatever is said of it', () => {
    const { made } = inForce();
    change = rekey({ id: 'c2', phase: 'finished', replacedFingerprints: [made], previousFingerprint: made });
    durableIndex = SET_AT;
    keeper.tidy();
    expect(stored()).toContain(made);
  });

  it('takes a key out again that was given up, but not before the log of the last run is replayed (I47)', () => {
    change = rekey();
    const made = keeper.make(change).fingerprint;
    change = rekey({ newFingerprint: made });
    keeper.prepare(LEADER, {
      changeId: 'c1',
      newFingerprint: made,
      wrapped: Buffer.alloc(0),
      nonce,
      wanted: false,
    });
    // After a stop its state may be older than what it has proved.
    restart();
    for (const older of [
      rekey(),
      rekey({ phase: 'aborted' }),
      rekey({ id: 'c0', kind: 'rotate', phase: 'finished' }),
    ]) {
      isReplayed = false;
      change = older;
      keeper.tidy();
      expect(stored()).toContain(made);
    }
    isReplayed = true;
    change = rekey({ newFingerprint: made });
    keeper.tidy();
    expect(stored()).toContain(made);
    change = rekey({ phase: 'aborted', newFingerprint: made });
    keeper.tidy();
    expect(stored()).toEqual([controlKey.fingerprint]);
  });

  it('proves a key that the file has now, and no other', () => {
    change = rekey();
    const key = keeper.make(change);
    const { fingerprint } = key;
    change = rekey({ newFingerprint: fingerprint });
    const request = {
      changeId: 'c1',
      newFingerprint: fingerprint,
      wrapped: Buffer.alloc(0),
      nonce,
      wanted: false,
    };
    const { proof } = keeper.prepare(LEADER, request);
    expect(provesPossession(key, { changeId: 'c1', nodeId: OWN, nonce }, proof)).toBe(true);
    opened().control.remove(fingerprint);
    expect(refusalOf(() => keeper.prepare(LEADER, request)).code).toBe('CONTROL_KEY_MISMATCH');
    const wrapped = keeper.wrapFor(OWN, key, 'c1');
    expect(keeper.prepare(LEADER, { ...request, wrapped }).proof).toEqual(proof);
    expect(stored()).toContain(fingerprint);
  });

  it.each([
    ['new_fingerprint', { newFingerprint: 'sha256:1' }],
    ['nonce', { nonce: Buffer.alloc(1) }],
  ])('names %s when that is malformed', (field, wrong) => {
    change = rekey();
    const { fingerprint } = keeper.make(change);
    const request = {
      changeId: 'c1',
      newFingerprint: fingerprint,
      wrapped: Buffer.alloc(0),
      nonce,
      wanted: false,
    };
    expect(refusalOf(() => keeper.prepare(LEADER, { ...request, ...wrong }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field,
    });
  });
});
