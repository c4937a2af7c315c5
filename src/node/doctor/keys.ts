import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, sep } from 'node:path';
import { HoldfastError, systemErrorCode, toHoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Keyring } from '../../envelope/keyring.ts';
import { openKeyring } from '../../envelope/keyringForm.ts';
import { type ControlKeys, loadControlKeys, loadJwtSecret } from '../../envelope/keySources.ts';
import type { NodeConfiguration } from '../configuration.ts';
import { type DataDirectory, hasIdentity } from '../dataDirectory.ts';
import { checkKeyBackup } from './backup.ts';
import { type Finding, failure, failureOf, ok, warning } from './finding.ts';

/** The key files: place, owner, mode, form; then whether the control key opens the keyring in the data directory. */
export function checkKeys(configuration: NodeConfiguration, directory: DataDirectory): readonly Finding[] {
  const { control, finding } = checkControlKey(configuration, directory);
  const findings = [finding, checkJwtSecret(configuration, directory)];
  if (control !== null) findings.push(...checkKeyBackup(control, configuration.controlKeyPath));
  if (control !== null && hasIdentity(directory)) {
    findings.push(...checkKeyring(directory, { control, configuration }));
  }
  return findings;
}

function checkControlKey(
  configuration: NodeConfiguration,
  directory: DataDirectory,
): { readonly control: ControlKeys | null; readonly finding: Finding } {
  const check = 'control key';
  const { keyEnvironment, controlKeyPath: path, dataDir } = configuration;
  const env = {
    HOLDFAST_CONTROL_KEY: keyEnvironment.get('HOLDFAST_CONTROL_KEY'),
    HOLDFAST_LEGACY_CONTROL_KEYS: keyEnvironment.get('HOLDFAST_LEGACY_CONTROL_KEYS'),
  };
  if (!keyEnvironment.has('HOLDFAST_CONTROL_KEY') && isYetToCome(path, directory)) {
    return { control: null, finding: notYet(check, path) };
  }
  try {
    const control = loadControlKeys({ env, path, dataDir });
    const from = control.source === 'file' ? path : 'the environment';
    return { control, finding: ok(check, `${control.active.fingerprint}, from ${from}`) };
  } catch (thrown) {
    const variable =
      env.HOLDFAST_CONTROL_KEY === undefined ? 'HOLDFAST_LEGACY_CONTROL_KEYS' : 'HOLDFAST_CONTROL_KEY';
    const finding = keyFailure(thrown, { check, path, variable, flag: '--control-key-path', directory });
    return { control: null, finding };
  }
}

function checkJwtSecret(configuration: NodeConfiguration, directory: DataDirectory): Finding {
  const check = 'JWT secret';
  const { keyEnvironment, jwtSecretPath: path, dataDir } = configuration;
  const text = keyEnvironment.get('HOLDFAST_JWT_SECRET');
  if (text === undefined && isYetToCome(path, directory)) return notYet(check, path);
  try {
    const { fingerprint, source } = loadJwtSecret({ env: { HOLDFAST_JWT_SECRET: text }, path, dataDir });
    return ok(check, `${fingerprint}, from ${source === 'file' ? path : 'the environment'}`);
  } catch (thrown) {
    const variable = 'HOLDFAST_JWT_SECRET';
    return keyFailure(thrown, { check, path, variable, flag: '--jwt-secret-path', directory });
  }
}

interface KeyPlace {
  readonly check: string;
  readonly path: string;
  /** What the key comes from when it is not that file. */
  readonly variable: string;
  readonly flag: string;
  readonly directory: DataDirectory;
}

function keyFailure(thrown: unknown, { check, path, variable, flag, directory }: KeyPlace): Finding {
  const { code, message } = toHoldfastError(thrown);
  if (code === 'CONFIG_INVALID') return failure(check, message, `unset ${variable}`);
  if (!liesUnder(path, directory.root)) return failureOf(check, thrown, restored(path));
  const outside = dirname(realpathSync(directory.root));
  return failure(
    check,
    `${message}; move it, and name its new place with ${flag}`,
    `mv '${path}' '${outside}/'`,
  );
}

function restored(path: string): string {
  return `install -m 0600 COPY '${path}'`;
}

function liesUnder(path: string, root: string): boolean {
  if (!existsSync(path) || !existsSync(root)) return false;
  return realpathSync(path).startsWith(`${realpathSync(root)}${sep}`);
}

/** Before there is a node, a missing key file is no fault: `init` makes it. */
function isYetToCome(path: string, directory: DataDirectory): boolean {
  return !hasIdentity(directory) && !existsSync(path);
}

function notYet(check: string, path: string): Finding {
  return ok(check, `${path} is not there yet; holdfast init makes it`);
}

function checkKeyring(
  directory: DataDirectory,
  { control, configuration }: { readonly control: ControlKeys; readonly configuration: NodeConfiguration },
): readonly Finding[] {
  try {
    const keyring = openKeyring(readBounded(directory.keyring), control.all);
    const { fingerprint } = control.active;
    return [ok('keyring', `opens with ${fingerprint}`), toggleFinding(keyring, configuration.encryption)];
  } catch (thrown) {
    const { code, message } = toHoldfastError(thrown);
    if (code !== 'CONTROL_KEY_MISMATCH')
      return [
        failure('keyring', `${message}; the copy of any other node will do`, restored(directory.keyring)),
      ];
    const mend =
      control.source === 'file' ? restored(configuration.controlKeyPath) : 'unset HOLDFAST_CONTROL_KEY';
    return [failure('keyring', message, mend)];
  }
}

function toggleFinding({ encryption: inForce }: Keyring, wanted: 'on' | 'off' | null): Finding {
  if (wanted === null || wanted === inForce) return ok('encryption', `${inForce} in the whole cluster`);
  return warning(
    'encryption',
    `this node's setting says ${wanted}, and the cluster says ${inForce}, which counts`,
    `holdfast server --encryption ${inForce}`,
  );
}

function readBounded(path: string): Buffer {
  try {
    if (statSync(path).size > LIMITS.keyringBytesMax) {
      throw new HoldfastError('DATA_DIR_INVALID', `${path} is over ${LIMITS.keyringBytesMax} bytes`);
    }
    return readFileSync(path);
  } catch (thrown) {
    if (thrown instanceof HoldfastError) throw thrown;
    const code = systemErrorCode(thrown) ?? 'unknown';
    throw new HoldfastError('DATA_DIR_INVALID', `the keyring ${path} cannot be read (${code})`, {
      cause: thrown,
    });
  }
}
