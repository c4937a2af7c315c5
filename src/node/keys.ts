import { existsSync } from 'node:fs';
import { systemClock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { ControlKey, JwtKey } from '../envelope/controlKey.ts';
import { HeldKeys } from '../envelope/heldKeys.ts';
import {
  type ControlKeySources,
  type ControlKeys,
  createControlKeyFile,
  createJwtSecretFile,
  type JwtSecret,
  loadControlKeys,
  loadJwtSecret,
} from '../envelope/keySources.ts';
import type { NodeConfiguration } from './configuration.ts';

/** The secrets that an operator holds for this node. */
export interface NodeKeys {
  readonly control: ControlKeys;
  readonly jwt: JwtSecret;
}

type KeySettings = Pick<NodeConfiguration, 'controlKeyPath' | 'jwtSecretPath' | 'dataDir' | 'keyEnvironment'>;

/** The same of a running node, whose control keys change. */
export interface RunningKeys {
  readonly control: HeldKeys<ControlKey>;
  readonly jwt: HeldKeys<JwtKey>;
}

/** @throws HoldfastError as loadKeys */
export function openKeys(settings: KeySettings): RunningKeys {
  const { dataDir, controlKeyPath, jwtSecretPath } = settings;
  const sources = { random: systemRandom, clock: systemClock };
  const control = new HeldKeys({
    ...loadControl(settings),
    place: { path: controlKeyPath, dataDir },
    wrap: (key) => new ControlKey(key),
    variable: 'HOLDFAST_CONTROL_KEY',
    environmentHint:
      'set the new key there and the present one in HOLDFAST_LEGACY_CONTROL_KEYS, start the node again, then: holdfast cluster rekey --provided --accept-fingerprint sha256:…',
    ...sources,
  });
  const jwt = new HeldKeys({
    ...loadJwt(settings),
    place: { path: jwtSecretPath, dataDir },
    wrap: (key) => new JwtKey(key),
    variable: 'HOLDFAST_JWT_SECRET',
    environmentHint: 'give the node a JWT-secret file instead (HOLDFAST_JWT_SECRET_PATH), and start it again',
    ...sources,
  });
  return { control, jwt };
}

/** @throws HoldfastError KEY_FILE_INVALID or CONFIG_INVALID, with what to do */
export function loadKeys(settings: KeySettings): NodeKeys {
  return { control: loadControl(settings), jwt: loadJwt(settings) };
}

/** @throws HoldfastError as loadKeys */
export function loadControl(settings: KeySettings): ControlKeys {
  return loadControlKeys(controlSources(settings));
}

function controlSources({ controlKeyPath, dataDir, keyEnvironment }: KeySettings): ControlKeySources {
  return {
    env: {
      HOLDFAST_CONTROL_KEY: keyEnvironment.get('HOLDFAST_CONTROL_KEY'),
      HOLDFAST_LEGACY_CONTROL_KEYS: keyEnvironment.get('HOLDFAST_LEGACY_CONTROL_KEYS'),
    },
    path: controlKeyPath,
    dataDir,
  };
}

function loadJwt({ jwtSecretPath, dataDir, keyEnvironment }: KeySettings): JwtSecret {
  return loadJwtSecret({
    env: { HOLDFAST_JWT_SECRET: keyEnvironment.get('HOLDFAST_JWT_SECRET') },
    path: jwtSecretPath,
    dataDir,
  });
}

/**
 * Makes each secret that is neither in the environment nor in a file; tells which files it made. None when one that
 * is there cannot be used.
 * @throws HoldfastError as loadKeys
 */
export function createMissingKeys(settings: KeySettings): readonly string[] {
  const { dataDir, keyEnvironment } = settings;
  const made: string[] = [];
  const sources = { dataDir, random: systemRandom, clock: systemClock };
  const makesControl = !keyEnvironment.has('HOLDFAST_CONTROL_KEY') && !existsSync(settings.controlKeyPath);
  const makesJwt = !keyEnvironment.has('HOLDFAST_JWT_SECRET') && !existsSync(settings.jwtSecretPath);
  if (!makesControl) loadControl(settings);
  if (!makesJwt) loadJwt(settings);
  if (makesControl) {
    createControlKeyFile({ path: settings.controlKeyPath, ...sources });
    made.push(settings.controlKeyPath);
  }
  if (makesJwt) {
    createJwtSecretFile({ path: settings.jwtSecretPath, ...sources });
    made.push(settings.jwtSecretPath);
  }
  return made;
}

/** For `key generate`: makes both files, and refuses when one of them is there. */
export function generateKeyFiles(settings: KeySettings): readonly string[] {
  for (const path of [settings.controlKeyPath, settings.jwtSecretPath]) {
    if (!existsSync(path)) continue;
    throw new HoldfastError('KEY_FILE_INVALID', `${path} is there already; a key file is never overwritten`, {
      hint: 'name another path, or keep using the key in it',
    });
  }
  return createMissingKeys({ ...settings, keyEnvironment: new Map() });
}
