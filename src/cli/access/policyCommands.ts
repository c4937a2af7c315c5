import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import type { Policy } from '../../client/index.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';

/** `holdfast policy …` */
export function addPolicyCommands(program: Command, invocation: Invocation): void {
  const policy = program.command('policy').description('what roles may do');
  addFiles(policy, invocation);
  addList(policy, invocation);
  addExplain(policy, invocation);
  policy
    .command('delete')
    .description('delete the policy of a role that nobody has')
    .argument('<role>')
    .action(async (role: string, _options: unknown, command: Command) => {
      await withClient(invocation, command, async (client) => {
        await client.access.deletePolicy({ role });
        outputOf(invocation, command).result({ deleted: role }, [`there is no role ${role} any more`]);
      });
    });
}

function addFiles(policy: Command, invocation: Invocation): void {
  policy
    .command('validate')
    .description('say whether a policy file can be used; asks no cluster')
    .argument('<file>', 'YAML')
    .action(async (file: string, _options: unknown, command: Command) => {
      const [{ readPolicyFile }, { checkPolicyFile }] = await Promise.all([
        import('./policyFile.ts'),
        import('../offline/policyCheck.ts'),
      ]);
      const wanted = readPolicyFile(file);
      checkPolicyFile(wanted);
      const { role } = wanted;
      outputOf(invocation, command).result({ role, valid: true }, [`${file}: a policy for role ${role}`]);
    });
  policy
    .command('put')
    .description('make the policy of a role, or put another one in its place')
    .argument('<file>', 'YAML')
    .action(async (file: string, _options: unknown, command: Command) => {
      const { readPolicyFile } = await import('./policyFile.ts');
      const wanted = readPolicyFile(file);
      await withClient(invocation, command, async (client) => {
        await client.access.putPolicy(wanted);
        outputOf(invocation, command).result({ role: wanted.role }, [
          `role ${wanted.role} has this policy now`,
        ]);
      });
    });
}

function addList(policy: Command, invocation: Invocation): void {
  policy
    .command('list')
    .description('the roles that there are')
    .action(async (_options: unknown, command: Command) => {
      await withClient(invocation, command, async (client) => {
        const { policies, builtIn } = await client.access.policies();
        const rows = policies.map((one, at) => ({ ...summary(one), builtIn: at < builtIn }));
        outputOf(invocation, command).table(
          { policies: rows },
          {
            head: ['ROLE', 'RULES', 'ADMIN', 'BUILT IN'],
            rows: rows.map((one) => [
              one.role,
              String(one.rules),
              one.admin.join(', '),
              one.builtIn ? 'yes' : '',
            ]),
          },
        );
      });
    });
  policy
    .command('describe')
    .description('the rules of a role')
    .argument('<role>')
    .action(async (role: string, _options: unknown, command: Command) => {
      await withClient(invocation, command, async (client) => {
        const { policies } = await client.access.policies();
        const found = policies.find((one) => one.role === role);
        if (found === undefined) {
          throw new HoldfastError('NOT_FOUND', `there is no role ${role}`, {
            field: 'role',
            hint: 'holdfast policy list shows which there are',
          });
        }
        describe(found, { invocation, command });
      });
    });
}

function describe(
  policy: Policy,
  { invocation, command }: { invocation: Invocation; command: Command },
): void {
  const { role, rules, admin } = policy;
  const output = outputOf(invocation, command);
  const plain = rules.map(({ path, capabilities }) => ({ path, capabilities: [...capabilities] }));
  output.table(
    { role, rules: plain, admin: [...admin] },
    {
      head: ['PATH', 'MAY'],
      rows: [
        ...plain.map(({ path, capabilities }) => [path, capabilities.join(', ') || output.warn('nothing')]),
        ...admin.map((area) => ['', `admin:${area}`]),
      ],
    },
  );
}

function addExplain(policy: Command, invocation: Invocation): void {
  policy
    .command('explain')
    .description('which rule decides whether somebody may do something')
    .argument(
      '<who>',
      'the id of an access token, a role, or a user; user:NAME where a role has that name too',
    )
    .argument('<action>', 'list, read, write, delete, reveal, rollback, or admin:AREA')
    .argument('[path]', 'a name; none for admin:AREA')
    .action(
      async (who: string, action: string, path: string | undefined, _options: unknown, command: Command) => {
        await withClient(invocation, command, async (client) => {
          const answer = await client.access.explain({
            who,
            action,
            ...(path === undefined ? {} : { key: path }),
          });
          const { allowed, pattern } = answer;
          const [roles, capabilities] = [[...answer.roles], [...answer.capabilities]];
          const verdict = `${allowed ? 'allowed' : 'denied'}: `;
          outputOf(invocation, command).result(
            { who, action, path: path ?? '', allowed, pattern, roles, capabilities },
            [verdict + reasonOf({ action, pattern, roles, capabilities })],
          );
        });
      },
    );
}

function reasonOf(answer: {
  readonly action: string;
  readonly pattern: string;
  readonly roles: readonly string[];
  readonly capabilities: readonly string[];
}): string {
  const { action, pattern, roles, capabilities } = answer;
  if (action.startsWith('admin:')) {
    return roles.length === 0 ? `no role has ${action}` : `${action} of role ${roles.join(', ')}`;
  }
  if (pattern === '') return 'no rule is for this name';
  return `the rule for ${pattern} of role ${roles.join(', ')} allows ${capabilities.join(', ') || 'nothing'}`;
}

function summary({ role, rules, admin }: Policy): { role: string; rules: number; admin: readonly string[] } {
  return { role, rules: rules.length, admin: [...admin] };
}
