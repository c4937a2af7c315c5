import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { KeyRange } from '../proto/storage.ts';
import { bytesField } from './keys.ts';

/** Every check returns the first reason why something is not acceptable, or null. */
export type Reason = HoldfastError | null;

export function invalid(field: string, message: string, hint?: string): HoldfastError {
  return new HoldfastError(
    'INVALID_ARGUMENT',
    `${field} ${message}`,
    hint === undefined ? { field } : { field, hint },
  );
}

export function tooLarge(field: string, { bytes, most }: { bytes: number; most: number }): HoldfastError {
  return new HoldfastError('TOO_LARGE', `${field} has ${bytes} bytes; the limit is ${most}`, { field });
}

/** A key has 1 to LIMITS.keyBytesMax bytes, any bytes. */
export function checkKey(key: Uint8Array, field = 'key'): Reason {
  if (key.length === 0) return invalid(field, 'must not be empty');
  if (key.length > LIMITS.keyBytesMax)
    return tooLarge(field, { bytes: key.length, most: LIMITS.keyBytesMax });
  return null;
}

/** A value has 0 to LIMITS.valueBytesMax bytes. */
export function checkValue(value: Uint8Array, field = 'value'): Reason {
  if (value.length <= LIMITS.valueBytesMax) return null;
  return tooLarge(field, { bytes: value.length, most: LIMITS.valueBytesMax });
}

/**
 * A range is there and not empty. Its start may be empty (from the first key), its end too (no upper bound). An
 * end may be one byte longer than a key, since one key k is [k, k + 0x00).
 */
export function checkRange(range: KeyRange | null | undefined, field = 'range'): Reason {
  if (range === null || range === undefined) return invalid(field, 'is missing');
  const start = bytesField(range.start);
  const end = bytesField(range.end);
  const most = LIMITS.keyBytesMax + 1;
  if (start.length > most) return tooLarge(`${field}.start`, { bytes: start.length, most });
  if (end.length > most) return tooLarge(`${field}.end`, { bytes: end.length, most });
  if (end.length > 0 && Buffer.compare(start, end) >= 0) {
    return invalid(`${field}.end`, 'must come after the start', 'Leave it empty for no upper bound.');
  }
  return null;
}

/** A whole number from `least` (0 when not given) to 2^53 - 1. */
export function checkCount(value: number, field: string, least = 0): Reason {
  if (Number.isSafeInteger(value) && value >= least) return null;
  return invalid(field, `must be a whole number from ${least} to 2^53 - 1`);
}
