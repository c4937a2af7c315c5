import { type Command, Option } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { clusterGroup } from '../clusterGroup.ts';
import { assertConfirmed } from '../confirmation.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { abortKeyChange, afterwards } from '../keyChangeEnd.ts';
import { addRekeyCommand } from './rekey.ts';

interface BeginOptions {
  readonly wait: boolean;
}

/** `holdfast cluster rekey|rotate|rewrap|rotate-jwt|encryption`. */
export function addKeyChangeCommands(program: Command, invocation: Invocation): void {
  const cluster = clusterGroup(program);
  addRekeyCommand(cluster, invocation);
  for (const [kind, description] of [
    ['rotate', 'seal what comes by a new data key'],
    ['rewrap', 'seal all that is stored by the newest data key, and retire the old ones'],
  ] as const) {
    cluster
      .command(kind)
      .description(description)
      .option('--wait', 'until it is finished', false)
      .action(async (options: BeginOptions, command: Command) => {
        await begin({ kind }, { ...options, invocation, command });
      });
  }
  cluster
    .command('rotate-jwt')
    .description('a new JWT secret on every node; all sessions end')
    .option('--yes', 'yes, all sessions may end', false)
    .option('--wait', 'until it is in force', false)
    .addOption(new Option('--abort', 'give it up, before it is in force').default(false).conflicts('wait'))
    .action(async (options: BeginOptions & { yes: boolean; abort: boolean }, command: Command) => {
      if (options.abort) {
        await withClient(invocation, command, (client) =>
          abortKeyChange(client, { kind: 'jwt', output: outputOf(invocation, command) }),
        );
        return;
      }
      assertConfirmed(options, 'all sessions end, and everybody has to log in again');
      await begin({ kind: 'jwt', source: 'file' }, { ...options, invocation, command });
    });
  cluster
    .command('encryption')
    .description('turn the encryption of everything stored on or off, for the whole cluster')
    .argument('<setting>', 'on or off')
    .option('--yes', 'yes, for the whole cluster', false)
    .option('--wait', 'until everything stored follows it', false)
    .action(async (encryption: string, options: BeginOptions & { yes: boolean }, command: Command) => {
      if (encryption !== 'on' && encryption !== 'off')
        throw new HoldfastError('USAGE', `the setting is on or off, not ${JSON.stringify(encryption)}`);
      assertConfirmed(options, TOGGLED[encryption]);
      await begin({ kind: 'encryption', encryption }, { ...options, invocation, command });
    });
}

interface Beginning extends BeginOptions {
  readonly invocation: Invocation;
  readonly command: Command;
}

async function begin(
  change: { readonly kind: string; readonly encryption?: string; readonly source?: string },
  { wait, invocation, command }: Beginning,
): Promise<void> {
  await withClient(invocation, command, async (client) => {
    const { id } = await client.cluster.beginKeyChange(change);
    await afterwards(client, { id, wait, output: outputOf(invocation, command), invocation });
  });
}

const TOGGLED = {
  off: 'everything stored, names and values, will lie readable on the disks of all nodes',
  on: 'everything stored will be sealed on the disks of all nodes',
} as const;
