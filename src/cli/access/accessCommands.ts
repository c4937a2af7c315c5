import type { Command } from 'commander';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { timeText } from '../value.ts';
import { addLoginCommands } from './loginCommands.ts';
import { addPolicyCommands } from './policyCommands.ts';
import { addTokenCommands } from './tokenCommands.ts';
import { addUserCommands } from './userCommands.ts';

/** `holdfast login|logout|whoami|user …|policy …|token …` */
export function addAccessCommands(program: Command, invocation: Invocation): void {
  addLoginCommands(program, invocation);
  addUserCommands(program, invocation);
  addPolicyCommands(program, invocation);
  addTokenCommands(program, invocation);
  program
    .command('whoami')
    .description('who the cluster takes you for, and your roles')
    .action(async (_options: unknown, command: Command) => {
      await withClient(invocation, command, async (client) => {
        const { kind, name, address, roles, expiresMs } = await client.access.whoAmI();
        const expires = expiresMs === 0 ? '' : timeText(expiresMs);
        outputOf(invocation, command).result({ kind, name, address, roles: [...roles], expires }, [
          `${kind} ${name}, from ${address}`,
          `roles: ${roles.join(', ')}`,
          ...(expires === '' ? [] : [`until ${expires}`]),
        ]);
      });
    });
}
