import type { Command } from 'commander';
import { contextPath, readContextFile, useContext } from './context.ts';
import { type Invocation, outputOf } from './invocation.ts';
import { addRenewContextCommand } from './renewContext.ts';

export function addContextCommands(program: Command, invocation: Invocation): void {
  const context = program.command('context').description('which cluster the client commands speak to');

  context
    .command('list')
    .description('the contexts of the context file')
    .action((_options: unknown, command: Command) => {
      const file = readContextFile(contextPath(invocation.environment));
      const contexts = (file?.contexts ?? []).map(({ name, endpoints }) => ({
        name,
        endpoints,
        current: name === file?.current,
      }));
      outputOf(invocation, command).table(
        { contexts },
        {
          head: ['', 'NAME', 'ENDPOINTS'],
          rows: contexts.map(({ name, endpoints, current }) => [
            current ? '*' : '',
            name,
            endpoints.join(', '),
          ]),
        },
      );
    });

  context
    .command('use')
    .description('make another context the current one')
    .argument('<name>')
    .action(async (name: string, _options: unknown, command: Command) => {
      await useContext(contextPath(invocation.environment), name);
      outputOf(invocation, command).result({ current: name }, [`current context: ${name}`]);
    });

  addRenewContextCommand(context, invocation);
}
