import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { isFingerprint } from '../envelope/fingerprint.ts';

/** What somebody says that it holds. @throws HoldfastError INVALID_ARGUMENT naming `field` */
export function checkFingerprints(fingerprints: readonly string[], field: string): void {
  const count = fingerprints.length;
  if (count > 0 && count <= LIMITS.controlKeysMax && fingerprints.every(isFingerprint)) return;
  throw new HoldfastError('INVALID_ARGUMENT', `${field} must be 1 to ${LIMITS.controlKeysMax} fingerprints`, {
    field,
  });
}
