import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { KeySelector } from '../../client/index.ts';
import { decodeBase64 } from './base64.ts';

/** Options of commands that name one key. */
export interface KeyOptions {
  readonly keyBase64?: boolean;
}

export interface SelectionOptions extends KeyOptions {
  readonly prefix?: string;
}

export function addKeyOptions(command: Command): Command {
  return command.option('--key-base64', 'the key is given in base64, for keys that are not text');
}

/** A key as typed, checked. @throws HoldfastError USAGE when it is empty or no base64, TOO_LARGE */
export function parseKey(text: string, { keyBase64 = false }: KeyOptions): Buffer {
  const key = keyBase64 ? decodeBase64(text, 'key') : Buffer.from(text, 'utf8');
  if (key.length === 0) throw new HoldfastError('USAGE', 'the key must not be empty', { field: 'key' });
  checkKeyLength(key, 'the key');
  return key;
}

/** A prefix as typed; the empty one is every key. */
export function parsePrefix(text: string, { keyBase64 = false }: KeyOptions = {}): Buffer {
  const prefix = keyBase64 ? decodeBase64(text, 'prefix') : Buffer.from(text, 'utf8');
  checkKeyLength(prefix, 'the prefix');
  return prefix;
}

/** One key or one prefix, never both. `whenNeither`: what neither means, or the sentence that refuses it. */
export function parseSelection(
  key: string | undefined,
  options: SelectionOptions,
  whenNeither: { readonly selector: KeySelector } | { readonly refusal: string },
): KeySelector {
  const { prefix } = options;
  if (key !== undefined && prefix !== undefined) {
    throw new HoldfastError('USAGE', 'give a key or --prefix, not both', { field: 'prefix' });
  }
  if (key !== undefined) return { key: parseKey(key, options) };
  if (prefix !== undefined) return { prefix: parsePrefix(prefix, options) };
  if ('selector' in whenNeither) return whenNeither.selector;
  throw new HoldfastError('USAGE', whenNeither.refusal, { field: 'key' });
}

/** @throws HoldfastError TOO_LARGE naming the limit */
export function checkKeyLength(key: Uint8Array, what: string): void {
  if (key.length <= LIMITS.keyBytesMax) return;
  throw new HoldfastError(
    'TOO_LARGE',
    `${what} has ${key.length} bytes; the limit is ${LIMITS.keyBytesMax}`,
    {
      field: 'key',
      hint: 'shorten it',
    },
  );
}

/** A revision as typed. */
export function parseRevision(text: string, option = '--rev'): number {
  const revision = Number(text);
  if (/^[0-9]{1,16}$/.test(text) && Number.isSafeInteger(revision) && revision >= 1) return revision;
  throw new HoldfastError('USAGE', `${option} must be a revision: a whole number of at least 1`, {
    field: option,
    hint: 'every write and every list says its revision with --output json',
  });
}
