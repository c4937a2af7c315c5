import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { itemFields, keyText } from '../value.ts';
import { addKeyOptions, type KeyOptions, parseKey, parseRevision } from './keyArgument.ts';

interface GetOptions extends KeyOptions {
  readonly rev?: string;
  readonly serializable?: boolean;
}

export function addGetCommand(kv: Command, invocation: Invocation): void {
  addKeyOptions(kv.command('get'))
    .description("write a key's value to standard output, byte for byte")
    .argument('<key>')
    .option('--rev <revision>', 'as it was at this revision')
    .option('--serializable', 'what one node has applied, which may be behind, without asking the leader')
    .action(async (text: string, options: GetOptions, command: Command) => {
      const key = parseKey(text, options);
      const revision = options.rev === undefined ? undefined : parseRevision(options.rev);
      const output = outputOf(invocation, command);
      await withClient(invocation, command, async (client) => {
        const answer = await client.get(key, {
          ...(revision === undefined ? {} : { revision }),
          serializable: options.serializable ?? false,
        });
        if (answer.item === null) throw notThere(key, revision);
        if (output.format === 'json') {
          output.result({ revision: answer.revision, item: itemFields(answer.item) }, []);
        } else {
          output.raw(answer.item.value);
        }
      });
    });
}

function notThere(key: Buffer, revision: number | undefined): HoldfastError {
  const when = revision === undefined ? '' : ` at revision ${revision}`;
  return new HoldfastError('NOT_FOUND', `there is no key ${keyText(key)}${when}`, {
    field: 'key',
    hint: 'holdfast kv list shows the keys',
  });
}
