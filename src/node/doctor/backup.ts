import type { ControlKeys } from '../../envelope/keySources.ts';
import { confirmedKeyBackup, keyBackupPath } from '../keyBackup.ts';
import { SETTINGS } from '../settings.ts';
import { type Finding, failureOf, ok, warning } from './finding.ts';

const CHECK = 'key backup';

/** Whether an operator has confirmed that a copy of the control key is kept elsewhere. Of a key file only. */
export function checkKeyBackup(control: ControlKeys, controlKeyPath: string): readonly Finding[] {
  if (control.source !== 'file') return [];
  const { fingerprint } = control.active;
  const place =
    controlKeyPath === SETTINGS.controlKeyPath.fallback ? '' : ` --control-key-path '${controlKeyPath}'`;
  const mend = `holdfast key confirm-backup --fingerprint FINGERPRINT_OF_THE_COPY${place}`;
  try {
    const confirmed = confirmedKeyBackup(controlKeyPath);
    if (confirmed === fingerprint) return [ok(CHECK, `a copy of ${fingerprint} is confirmed`)];
    const message =
      confirmed === null
        ? `nobody has confirmed that a copy of ${controlKeyPath} is kept elsewhere`
        : `a copy of ${confirmed} is confirmed, and the key is ${fingerprint}`;
    return [warning(CHECK, message, mend)];
  } catch (thrown) {
    return [failureOf(CHECK, thrown, `rm '${keyBackupPath(controlKeyPath)}'`)];
  }
}
