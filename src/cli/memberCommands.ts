import { type Command, Option } from 'commander';
import type { JoinTokenStatus } from '../client/index.ts';
import { parseDuration } from './arguments.ts';
import { memberFields, tokenFields } from './clusterFields.ts';
import { type Invocation, outputOf, withClient } from './invocation.ts';
import { timeText } from './value.ts';

/** `holdfast member …` */
export function addMemberCommands(program: Command, invocation: Invocation): void {
  const member = program.command('member').description('the nodes of the cluster');
  addList(member, invocation);
  addToken(member, invocation);
  addTokenList(member, invocation);
  addChanges(member, invocation);
}

function addList(member: Command, invocation: Invocation): void {
  member
    .command('list')
    .description('who the members are')
    .action(async (_options: unknown, command: Command) => {
      await withClient(invocation, command, async (client) => {
        const { members } = await client.cluster.members();
        const output = outputOf(invocation, command);
        output.table(
          { members: members.map(memberFields) },
          {
            head: ['ID', 'NAME', 'ROLE', 'LEADER', 'REACHABLE', 'API', 'PEER'],
            rows: members.map((one) => [
              one.nodeId,
              one.name,
              one.role,
              one.leader ? 'yes' : '',
              one.suspect ? output.bad('suspect') : one.reachable ? 'yes' : output.bad('no'),
              one.apiAddress,
              one.peerAddress,
            ]),
          },
        );
      });
    });
}

function addToken(member: Command, invocation: Invocation): void {
  member
    .command('add-token')
    .description('a token with which one more node can join, once')
    .addOption(
      new Option('--role <role>', 'what the node becomes').choices(['voter', 'learner']).default('voter'),
    )
    .option('--ttl <duration>', 'how long the token is good', '1h')
    .action(async (options: { role: string; ttl: string }, command: Command) => {
      const ttlMs = parseDuration(options.ttl, '--ttl');
      await withClient(invocation, command, async (client) => {
        const { token, expiresMs } = await client.cluster.addToken({ role: options.role, ttlMs });
        const output = outputOf(invocation, command);
        output.result({ token, expires: timeText(expiresMs) }, [token]);
        output.note(`good for one node until ${timeText(expiresMs)}; shown only this once`);
        output.note('on the new node, with a copy of both key files: holdfast join --token-file FILE');
      });
    });

  member
    .command('revoke-token')
    .description('make a token void that nobody has used')
    .argument('<id>', "the token's second part")
    .action(async (id: string, _options: unknown, command: Command) => {
      await withClient(invocation, command, async (client) => {
        await client.cluster.revokeToken({ id });
        outputOf(invocation, command).result({ revoked: id }, [`token ${id} is void`]);
      });
    });
}

function addTokenList(member: Command, invocation: Invocation): void {
  member
    .command('list-tokens')
    .description('the join tokens that are kept, and who has used them; never their secrets')
    .action(async (_options: unknown, command: Command) => {
      await withClient(invocation, command, async (client) => {
        const { tokens } = await client.cluster.tokens();
        const output = outputOf(invocation, command);
        output.table(
          { tokens: tokens.map(tokenFields) },
          {
            head: ['ID', 'ROLE', 'CREATED', 'EXPIRES', 'USED BY', 'GOOD'],
            rows: tokens.map((token) => [
              token.id,
              token.role,
              token.createdMs === 0 ? '' : timeText(token.createdMs),
              timeText(token.expiresMs),
              usedByText(token),
              token.expired ? output.warn('expired') : token.usedBy === '' ? 'yes' : 'used',
            ]),
          },
        );
      });
    });
}

function usedByText({ usedBy, usedByName }: JoinTokenStatus): string {
  return usedByName === '' ? usedBy : `${usedByName} (${usedBy})`;
}

function addChanges(member: Command, invocation: Invocation): void {
  const changes = [
    { name: 'promote', description: 'make a learner a voter', done: 'is a voter' },
    { name: 'demote', description: 'make a voter a learner', done: 'is a learner' },
    { name: 'transfer-leadership', description: 'ask a voter to lead', done: 'was asked to lead' },
  ] as const;
  for (const change of changes) {
    member
      .command(change.name)
      .description(change.description)
      .argument('<member>', 'id or name')
      .action(async (target: string, _options: unknown, command: Command) => {
        await withClient(invocation, command, async (client) => {
          if (change.name === 'promote') await client.cluster.promote({ member: target });
          else if (change.name === 'demote') await client.cluster.demote({ member: target });
          else await client.cluster.transferLeadership({ member: target });
          outputOf(invocation, command).result({ member: target }, [`${target} ${change.done}`]);
        });
      });
  }

  member
    .command('remove')
    .description('take a member out for good; its id never comes back')
    .argument('<member>', 'id or name')
    .option('--force', 'also when the rest may have no live quorum', false)
    .action(async (target: string, options: { force: boolean }, command: Command) => {
      await withClient(invocation, command, async (client) => {
        await client.cluster.remove({ member: target, force: options.force });
        outputOf(invocation, command).result({ removed: target }, [`${target} is no member any more`]);
      });
    });
}
