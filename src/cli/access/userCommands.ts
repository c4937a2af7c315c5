import type { Command } from 'commander';
import { printable } from '../../base/printable.ts';
import { resolveContext } from '../context.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { timeText } from '../value.ts';
import { forgetSession } from './loginCommands.ts';
import { passwordFrom, passwordToSet } from './passwordInput.ts';

interface PasswordOptions {
  readonly passwordFile?: string;
  readonly generate?: boolean;
}

/** `holdfast user …` */
export function addUserCommands(program: Command, invocation: Invocation): void {
  const user = program.command('user').description('people who log in with a password');
  addCreate(user, invocation);
  addSetPassword(user, invocation);
  addList(user, invocation);
  user
    .command('delete')
    .description('delete a user; all his sessions end')
    .argument('<name>')
    .action(async (name: string, _options: unknown, command: Command) => {
      await withClient(invocation, command, async ({ access }) => {
        await access.deleteUser({ name });
        outputOf(invocation, command).result({ deleted: name }, [`there is no user ${name} any more`]);
      });
    });
  user
    .command('set-roles')
    .description('what a user may do, in place of what it was')
    .argument('<name>')
    .requiredOption('--role <role...>', 'all of his roles')
    .action(async (name: string, { role: roles }: { role: readonly string[] }, command: Command) => {
      await withClient(invocation, command, async ({ access }) => {
        await access.setRoles({ name, roles });
        outputOf(invocation, command).result({ name, roles }, [`${name} has the roles ${roles.join(', ')}`]);
      });
    });
}

function withPasswordOptions(command: Command): Command {
  return command
    .option('--password-file <path>', 'read the password from a file; - for standard input')
    .option('--generate', 'make a password, and show it this once');
}

function addCreate(user: Command, invocation: Invocation): void {
  withPasswordOptions(user.command('create').description('a user, who logs in with holdfast login'))
    .argument('<name>')
    .requiredOption('--role <role...>', 'what the user may do')
    .action(
      async (name: string, options: PasswordOptions & { role: readonly string[] }, command: Command) => {
        const { password, isMade } = await passwordToSet(options, invocation);
        await withClient(invocation, command, async ({ access }) => {
          await access.createUser({ name, password, roles: options.role });
          const made = isMade ? { password } : {};
          outputOf(invocation, command).result({ name, roles: options.role, ...made }, [
            isMade ? password : `${name} can log in`,
          ]);
        });
      },
    );
}

function addSetPassword(user: Command, invocation: Invocation): void {
  withPasswordOptions(
    user.command('set-password').description('another password for a user; all his sessions end'),
  )
    .argument('[name]', 'default: the own one, which takes the present password')
    .option('--old-password-file <path>', 'the present password, where it is the own')
    .action(
      async (
        name: string | undefined,
        options: PasswordOptions & { oldPasswordFile?: string },
        command: Command,
      ) => {
        if (name === undefined) await changeOwn(options, { invocation, command });
        else await setPassword(name, options, { invocation, command });
      },
    );
}

interface Place {
  readonly invocation: Invocation;
  readonly command: Command;
}

async function setPassword(
  name: string,
  options: PasswordOptions,
  { invocation, command }: Place,
): Promise<void> {
  const { password, isMade } = await passwordToSet(options, invocation);
  await withClient(invocation, command, async ({ access }) => {
    await access.setPassword({ name, password });
    outputOf(invocation, command).result({ name, ...(isMade ? { password } : {}) }, [
      isMade ? password : `${name} has another password, and has to log in again`,
    ]);
  });
}

async function changeOwn(
  options: PasswordOptions & { readonly oldPasswordFile?: string },
  { invocation, command }: Place,
): Promise<void> {
  const { environment } = invocation;
  const { context } = command.optsWithGlobals<{ context?: string }>();
  const { name } = resolveContext(environment, context);
  const oldPassword = await passwordFrom(options.oldPasswordFile, {
    invocation,
    question: 'present password: ',
  });
  const { password: newPassword, isMade } = await passwordToSet(options, invocation);
  await withClient(invocation, command, ({ access }) => access.changePassword({ oldPassword, newPassword }));
  await forgetSession(environment, name);
  const output = outputOf(invocation, command);
  output.result({ context: name, ...(isMade ? { password: newPassword } : {}) }, [
    isMade ? newPassword : 'the password is changed',
  ]);
  output.note('all sessions have ended: holdfast login');
}

function addList(user: Command, invocation: Invocation): void {
  user
    .command('list')
    .description('the users that there are')
    .action(async (_options: unknown, command: Command) => {
      await withClient(invocation, command, async ({ access }) => {
        const { users } = await access.users();
        outputOf(invocation, command).table(
          {
            users: users.map(({ name, roles, createdMs, changedMs, createdBy }) => ({
              name,
              roles: [...roles],
              created: timeText(createdMs),
              changed: timeText(changedMs),
              createdBy,
            })),
          },
          {
            head: ['NAME', 'ROLES', 'CREATED', 'BY', 'CHANGED'],
            rows: users.map(({ name, roles, createdMs, changedMs, createdBy }) => [
              name,
              roles.join(', '),
              timeText(createdMs),
              printable(createdBy),
              timeText(changedMs),
            ]),
          },
        );
      });
    });
}
