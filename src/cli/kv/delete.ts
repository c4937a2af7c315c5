import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { itemFields, keyText } from '../value.ts';
import { addKeyOptions, parseSelection, type SelectionOptions } from './keyArgument.ts';

interface DeleteOptions extends SelectionOptions {
  readonly previous?: boolean;
}

export function addDeleteCommand(kv: Command, invocation: Invocation): void {
  addKeyOptions(kv.command('delete'))
    .description('delete one key, or all that begin with a prefix')
    .argument('[key]')
    .option('--prefix <prefix>', 'delete all keys that begin with it')
    .option('--previous', 'also show what was deleted')
    .action(async (key: string | undefined, options: DeleteOptions, command: Command) => {
      const selector = parseSelection(key, options, { refusal: 'name a key, or --prefix' });
      if (options.prefix === '') {
        throw new HoldfastError('USAGE', 'the empty prefix would delete every key', {
          field: 'prefix',
          hint: 'delete by longer prefixes, one after the other',
        });
      }
      const output = outputOf(invocation, command);
      await withClient(invocation, command, async (client) => {
        const previous = options.previous ?? false;
        const answer = await client.delete(selector, { previous });
        if ('key' in selector && answer.deleted === 0) {
          throw new HoldfastError('NOT_FOUND', `there is no key ${keyText(Buffer.from(selector.key))}`, {
            field: 'key',
            hint: 'holdfast kv list shows the keys',
          });
        }
        const before = answer.previous.map(itemFields);
        output.result(
          { revision: answer.revision, deleted: answer.deleted, ...(previous ? { previous: before } : {}) },
          [
            `${answer.deleted} ${answer.deleted === 1 ? 'key' : 'keys'} deleted at revision ${answer.revision}`,
            ...answer.previous.map((item) => keyText(item.key)),
          ],
        );
      });
    });
}
