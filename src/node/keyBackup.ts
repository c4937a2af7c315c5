import { readFileSync, statSync } from 'node:fs';
import { writeFileDurably } from '../base/durableFile.ts';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { type Fingerprint, isFingerprint } from '../envelope/fingerprint.ts';
import type { ControlKeys } from '../envelope/keySources.ts';

/** Beside the control-key file: the fingerprint of the key of which an operator has said that a copy is kept elsewhere. */
export function keyBackupPath(controlKeyPath: string): string {
  return `${controlKeyPath}.backup-confirmed`;
}

/**
 * Records that a copy of the active control key is kept elsewhere. `fingerprint` is what the operator computed over
 * that copy: only the right one proves that there is one.
 * @returns the file that holds the record
 * @throws HoldfastError INVALID_ARGUMENT, CONTROL_KEY_MISMATCH with both values, CONFIG_INVALID for a key of the
 *   environment, FILE_UNREADABLE
 */
export async function confirmKeyBackup(
  { control, controlKeyPath }: { readonly control: ControlKeys; readonly controlKeyPath: string },
  fingerprint: string,
): Promise<string> {
  if (!isFingerprint(fingerprint)) {
    throw new HoldfastError('INVALID_ARGUMENT', 'a fingerprint is sha256: and 64 lower-case hex digits', {
      field: 'fingerprint',
      hint: 'holdfast key fingerprint shows that of the copy',
    });
  }
  if (control.source === 'environment') {
    throw new HoldfastError(
      'CONFIG_INVALID',
      'the control key comes from the environment: there is no key file beside which to record a copy',
      { field: 'HOLDFAST_CONTROL_KEY', hint: 'keep a copy where the environment gets it from' },
    );
  }
  requireSame(control.active.fingerprint, fingerprint);
  const path = keyBackupPath(controlKeyPath);
  await writeFileDurably({ path, bytes: Buffer.from(`${fingerprint}\n`), mode: 0o600 });
  return path;
}

function requireSame(active: Fingerprint, confirmed: Fingerprint): void {
  if (active === confirmed) return;
  throw new HoldfastError(
    'CONTROL_KEY_MISMATCH',
    `this node has control key ${active}, the copy is of ${confirmed}`,
    { field: 'fingerprint', hint: 'Copy the key file anew, and take the fingerprint of that copy.' },
  );
}

/**
 * What was confirmed last, whichever key that was, or null.
 * @throws HoldfastError FILE_UNREADABLE
 */
export function confirmedKeyBackup(controlKeyPath: string): string | null {
  const path = keyBackupPath(controlKeyPath);
  try {
    if (statSync(path).size > LIMITS.keyFileBytesMax) return 'a file that is too long';
    const text = readFileSync(path, 'utf8').trim();
    return isFingerprint(text) ? text : 'what is no fingerprint';
  } catch (thrown) {
    const code = systemErrorCode(thrown) ?? 'unknown';
    if (code === 'ENOENT') return null;
    throw new HoldfastError('FILE_UNREADABLE', `${path} cannot be read (${code})`, { cause: thrown });
  }
}
