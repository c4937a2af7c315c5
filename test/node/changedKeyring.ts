import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemRandom } from '../../src/base/random.ts';
import { type Keyring, keyringOf } from '../../src/envelope/keyring.ts';
import { openKeyring, sealKeyring } from '../../src/envelope/keyringForm.ts';
import { loadControlKeys } from '../../src/envelope/keySources.ts';

/** Where a node lies that does not run. */
export interface KeyringPlace {
  readonly dataDir: string;
  readonly controlKeyPath: string;
}

/**
 * Puts something else into the keyring of a node, of the same generation, as only a holder of the control key could.
 * @returns puts the keyring back as it was
 */
export function changeKeyring(
  { dataDir, controlKeyPath }: KeyringPlace,
  change: Partial<Pick<Keyring, 'encryption' | 'acceptsReadable' | 'jwtSecretFingerprint'>>,
): () => void {
  const path = join(dataDir, 'keyring');
  const kept = readFileSync(path);
  const { active } = loadControlKeys({ path: controlKeyPath, dataDir, env: {} });
  const keyring = openKeyring(kept, [active]);
  const entries = [...keyring.keys.values()];
  writeFileSync(path, sealKeyring(keyringOf({ ...keyring, entries, ...change }), active, systemRandom));
  return () => writeFileSync(path, kept);
}
