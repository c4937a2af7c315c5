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

/**
 * The fingerprint of a CA, `sha256:` and hex: also as openssl writes it, with colons, in capitals and without what it is of.
 * @throws HoldfastError USAGE naming the option
 */
export function parseFingerprint(text: string, option: string): string {
  const [, hex = ''] = /^(?:sha256:)?([0-9a-f:]+)$/i.exec(text) ?? [];
  const digits = hex.replaceAll(':', '').toLowerCase();
  if (digits.length === 64) return `sha256:${digits}`;
  throw new HoldfastError('USAGE', `${option} ${JSON.stringify(text)} is no fingerprint`, {
    field: option,
    hint: 'sha256: and 64 hex digits, as holdfast init or holdfast cluster rotate-ca --status shows it',
  });
}

/** A whole number of at least `min`. @throws HoldfastError USAGE naming the option */
export function parseCount(text: string, { option, min }: { option: string; min: number }): number {
  const value = Number(text);
  if (/^[0-9]{1,16}$/.test(text) && Number.isSafeInteger(value) && value >= min) return value;
  throw new HoldfastError('USAGE', `${option} must be a whole number of at least ${min}`, { field: option });
}
