import { DURATION_FORM, parseDurationMs } from '../base/duration.ts';
import { HoldfastError } from '../base/errors.ts';

/** Milliseconds from 500ms, 30s, 10m, 1h, 7d. @throws HoldfastError USAGE naming the option */
export function parseDuration(text: string, option: string): number {
  const parsedMs = parseDurationMs(text);
  if (parsedMs !== null) return parsedMs;
  throw new HoldfastError('USAGE', `${option}: ${JSON.stringify(text)} is not a duration`, {
    field: option,
    hint: DURATION_FORM,
  });
}

/** A whole number of at least `min`. @throws HoldfastError USAGE naming the option */
export function parseCount(text: string, { option, min }: { option: string; min: number }): number {
  const value = Number(text);
  if (/^[0-9]{1,16}$/.test(text) && Number.isSafeInteger(value) && value >= min) return value;
  throw new HoldfastError('USAGE', `${option} must be a whole number of at least ${min}`, { field: option });
}
