import { behindPrefix, type NameRange, overlap } from './nameRange.ts';

/**
 * Names whose values are secret. Their values are handed out for `reveal` only; `read` is for having one used without seeing
 * it.
 */
export const SECRET_NAMES = 'secrets/**';
const PREFIX = 'secrets/';
const RANGE: NameRange = { start: PREFIX, end: behindPrefix(PREFIX) };

/** @param name latin-1, one character for each byte */
export function isSecretName(name: string): boolean {
  return name.startsWith(PREFIX);
}

/** Whether any name of the range is secret, be there such a name or not. */
export function holdsSecretNames(range: NameRange): boolean {
  return overlap(range, RANGE);
}
