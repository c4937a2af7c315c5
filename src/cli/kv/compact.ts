import type { Command } from 'commander';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { parseRevision } from './keyArgument.ts';

export function addCompactCommand(kv: Command, invocation: Invocation): void {
  kv.command('compact')
    .description('drop the history below a revision')
    .argument('<revision>')
    .action(async (text: string, _options: unknown, command: Command) => {
      const wanted = parseRevision(text, 'revision');
      await withClient(invocation, command, async (client) => {
        const { revision } = await client.compact(wanted);
        outputOf(invocation, command).result({ revision }, [`history is kept from revision ${revision} on`]);
      });
    });
}
