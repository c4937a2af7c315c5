import type { Command } from 'commander';
import { type Invocation, outputOf } from '../invocation.ts';
import { addSettingOptions, settingsOf } from './settingOptions.ts';

/** `holdfast access reset-admin`: breaks the glass, on the data directory of a node that is stopped. */
export function addResetAdminCommand(program: Command, invocation: Invocation): void {
  const access = program.command('access').description('when nobody can log in any more');
  addSettingOptions(
    access
      .command('reset-admin')
      .description('a new password for the user admin, by the control key; counts once this node is started'),
    ['dataDir', 'controlKeyPath'],
  ).action(async (_options: unknown, command: Command) => {
    const { requestAdminReset } = await import('../../node/adminReset.ts');
    const { user, password } = await requestAdminReset(await settingsOf(command, invocation));
    const output = outputOf(invocation, command);
    output.result({ user, password }, [`user      ${user}`, `password  ${password}`]);
    output.note('shown only this once; it counts once this node is started and a quorum is there');
  });
}
