import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { systemRandom } from '../../../src/base/random.ts';
import { ControlKey } from '../../../src/envelope/controlKey.ts';
import { HeldKeys } from '../../../src/envelope/heldKeys.ts';
import { createControlKeyFile, loadControlKeys } from '../../../src/envelope/keySources.ts';
import { KeyFileCheck } from '../../../src/node/keyChange/keyFileCheck.ts';
import { FakeLogger } from '../nodeFolder.ts';

let folder: string;
let path: string;
let clock: ManualClock;
let logger: FakeLogger;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-keys-'));
  mkdirSync(join(folder, 'data'));
  path = join(folder, 'control.json');
  clock = new ManualClock();
  logger = new FakeLogger();
  make(path);
});
afterEach(() => rmSync(folder, { recursive: true }));

const place = (at = path) => ({ path: at, dataDir: join(folder, 'data') });
const make = (at: string) => createControlKeyFile({ ...place(at), random: systemRandom, clock });

/** Of a node that was started with what the file held then, or with the environment. */
function running(env: object = {}): { readonly check: KeyFileCheck; readonly fingerprint: string } {
  const keys = loadControlKeys({ ...place(), env });
  const held = new HeldKeys({
    ...keys,
    place: place(),
    wrap: (key) => new ControlKey(key),
    variable: 'HOLDFAST_CONTROL_KEY',
    environmentHint: '',
    random: systemRandom,
    clock,
  });
  const { fingerprint } = keys.active;
  const checked = { name: 'control key', held, inForce: () => fingerprint };
  return { check: new KeyFileCheck({ keys: [checked], clock, logger }), fingerprint };
}

describe('a key file under a running node', () => {
  const changes: [string, () => void, string][] = [
    ['that holds another key', () => replaced(), 'does not hold the control key in force'],
    ['that is gone', () => rmSync(path), 'does not exist'],
    ['that was cut', () => writeFileSync(path, readFileSync(path).subarray(0, 40)), 'not JSON'],
    ['that others can read', () => chmodSync(path, 0o644), 'mode'],
  ];
  const replaced = (): void => {
    rmSync(path);
    make(path);
  };

  it.each(changes)('%s is warned of, and says which copy belongs there', (_what, change, wrong) => {
    const { check, fingerprint } = running();
    check.look();
    expect(check.warnings).toEqual([]);
    change();
    check.look();
    expect(check.warnings).toEqual([expect.stringContaining(wrong)]);
    expect(check.warnings[0]).toContain(path);
    expect(check.warnings[0]).toContain(`put the copy of control key ${fingerprint} in its place`);
  });

  it('is no matter any more once it is mended, and its line is not written at each look', () => {
    const { check } = running();
    const before = readFileSync(path);
    replaced();
    check.look();
    check.look();
    expect(logger.warnings).toHaveLength(1);
    clock.advance(LIMITS.rareLineIntervalMs);
    check.look();
    expect(logger.warnings).toHaveLength(2);
    writeFileSync(path, before, { mode: 0o600 });
    check.look();
    expect(check.warnings).toEqual([]);
  });

  it('does not count when the key comes from the environment', () => {
    const { check } = running({ HOLDFAST_CONTROL_KEY: Buffer.alloc(32, 7).toString('base64') });
    rmSync(path);
    check.look();
    expect(check.warnings).toEqual([]);
  });
});
