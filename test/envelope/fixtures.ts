import { createSecretKey } from 'node:crypto';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { parseStoreId } from '../../src/base/ids.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { ControlKey } from '../../src/envelope/controlKey.ts';
import type { Fingerprint } from '../../src/envelope/fingerprint.ts';
import { createKeyring, type EncryptionToggle, type Keyring } from '../../src/envelope/keyring.ts';
import { Sealer } from '../../src/envelope/sealer.ts';

export const STORE_ID = parseStoreId('00112233445566aa');
export const OTHER_STORE_ID = parseStoreId('00112233445566ab');

/** Of a JWT secret that nobody needs. */
export const JWT_FINGERPRINT = `sha256:${'7'.repeat(64)}` as Fingerprint;

export function keyringFor(encryption: EncryptionToggle, seed = 1, storeId = STORE_ID): Keyring {
  return createKeyring({
    storeId,
    encryption,
    jwtSecretFingerprint: JWT_FINGERPRINT,
    random: new SeededRandom(seed),
    clock: new ManualClock(),
  });
}

export function sealerFor(keyring: Keyring): Sealer {
  return new Sealer({ keyring, storeId: keyring.storeId, random: new SeededRandom(99) });
}

export function controlKeyOf(byte: number): ControlKey {
  return new ControlKey(createSecretKey(Buffer.alloc(32, byte)));
}

/** The HoldfastError that `run` throws; anything else fails the test. */
export function refusalOf(run: () => unknown): HoldfastError {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof HoldfastError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

/** A copy with one bit flipped. */
export function flipped(bytes: Uint8Array, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  const at = bit >>> 3;
  copy[at] = (copy[at] ?? 0) ^ (1 << (bit & 7));
  return copy;
}
