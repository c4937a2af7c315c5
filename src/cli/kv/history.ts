import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { HistoryVersion } from '../../client/index.ts';
import { parseCount } from '../arguments.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { itemFields, itemFieldsWithoutValue, keyText, sizeText, timeText, valuePreview } from '../value.ts';
import { addKeyOptions, type KeyOptions, parseKey } from './keyArgument.ts';

interface HistoryOptions extends KeyOptions {
  readonly limit?: string;
}

export function addHistoryCommand(kv: Command, invocation: Invocation): void {
  addKeyOptions(kv.command('history'))
    .description('the versions of a key that are still kept, newest first')
    .argument('<key>')
    .option('--limit <count>', `at most so many, up to ${LIMITS.pageKeysMax}`)
    .action(async (text: string, options: HistoryOptions, command: Command) => {
      const key = parseKey(text, options);
      const limit = options.limit === undefined ? undefined : parseLimit(options.limit);
      await withClient(invocation, command, async (client) => {
        const answer = await client.history(key, limit === undefined ? {} : { limit });
        const { revision, compactedRevision, versions } = answer;
        if (versions.length === 0) {
          throw new HoldfastError('NOT_FOUND', `no version of ${keyText(key)} is kept`, { field: 'key' });
        }
        outputOf(invocation, command).table(
          { revision, compactedRevision, versions: versions.map(versionFields) },
          { head: ['REVISION', 'VERSION', 'TIME', 'SIZE', 'VALUE'], rows: versions.map(versionRow) },
        );
      });
    });
}

function parseLimit(text: string): number {
  const limit = parseCount(text, { option: '--limit', min: 1 });
  if (limit <= LIMITS.pageKeysMax) return limit;
  throw new HoldfastError('USAGE', `--limit must be at most ${LIMITS.pageKeysMax}`, { field: '--limit' });
}

function versionFields({ item, deleted, timeMs }: HistoryVersion): object {
  const fields = deleted ? itemFieldsWithoutValue(item) : itemFields(item);
  return { ...fields, deleted, time: timeText(timeMs) };
}

function versionRow({ item, deleted, timeMs }: HistoryVersion): string[] {
  const { modRevision, version, value } = item;
  const shown = deleted ? ['', '(deleted)'] : [sizeText(value.length), valuePreview(value)];
  return [String(modRevision), deleted ? '' : String(version), timeText(timeMs), ...shown];
}
