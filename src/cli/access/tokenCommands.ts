import type { Command } from 'commander';
import { printable } from '../../base/printable.ts';
import type { AccessTokenStatus } from '../../client/index.ts';
import { parseDuration } from '../arguments.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { timeText } from '../value.ts';

interface CreateOptions {
  readonly role: readonly string[];
  readonly description: string;
  readonly ttl?: string;
}

/** `holdfast token …` */
export function addTokenCommands(program: Command, invocation: Invocation): void {
  const token = program.command('token').description('access tokens of services');
  addCreate(token, invocation);
  addList(token, invocation);
  token
    .command('revoke')
    .description('make a token void, at once')
    .argument('<id>', 'the second part of the token: hft_ID_…')
    .action(async (id: string, _options: unknown, command: Command) => {
      await withClient(invocation, command, async (client) => {
        await client.access.revokeToken({ id });
        outputOf(invocation, command).result({ revoked: id }, [`token ${id} is void`]);
      });
    });
}

function addCreate(token: Command, invocation: Invocation): void {
  token
    .command('create')
    .description('a token for a service, which shows it in HOLDFAST_TOKEN')
    .requiredOption('--role <role...>', 'what the service may do')
    .option('--description <text>', 'for people', '')
    .option('--ttl <duration>', 'how long it is good; default: until it is revoked')
    .action(async ({ role: roles, description, ttl }: CreateOptions, command: Command) => {
      const ttlMs = ttl === undefined ? 0 : parseDuration(ttl, '--ttl');
      await withClient(invocation, command, async (client) => {
        const made = await client.access.createToken({ roles, description, ttlMs });
        const expires = expiresText(made.expiresMs);
        const output = outputOf(invocation, command);
        output.result({ token: made.token, id: made.id, expires }, [made.token]);
        output.note(
          `good ${expires === '' ? 'until it is revoked' : `until ${expires}`}; shown only this once`,
        );
      });
    });
}

function addList(token: Command, invocation: Invocation): void {
  token
    .command('list')
    .description('the access tokens that are kept; never their secrets')
    .action(async (_options: unknown, command: Command) => {
      await withClient(invocation, command, async (client) => {
        const { tokens } = await client.access.tokens();
        const output = outputOf(invocation, command);
        output.table(
          { tokens: tokens.map(tokenFields) },
          {
            head: ['ID', 'ROLES', 'DESCRIPTION', 'CREATED', 'BY', 'EXPIRES', 'LAST USED', 'GOOD'],
            rows: tokens.map((one) => [
              one.id,
              one.roles.join(', '),
              printable(one.description),
              timeText(one.createdMs),
              printable(one.createdBy),
              expiresText(one.expiresMs) || 'never',
              usedText(one),
              one.expired ? output.warn('expired') : 'yes',
            ]),
          },
        );
      });
    });
}

function tokenFields(token: AccessTokenStatus): object {
  const { id, roles, description, createdMs, createdBy, expiresMs, expired, lastUsedMs, addresses } = token;
  const times = { created: timeText(createdMs), expires: expiresText(expiresMs) };
  const used = { lastUsed: lastUsedMs === 0 ? '' : timeText(lastUsedMs), addresses: [...addresses] };
  return { id, roles: [...roles], description, createdBy, ...times, expired, ...used };
}

function usedText({ lastUsedMs, addresses }: AccessTokenStatus): string {
  return lastUsedMs === 0 ? 'never' : `${timeText(lastUsedMs)} from ${printable(addresses.at(-1) ?? '')}`;
}

const expiresText = (expiresMs: number): string => (expiresMs === 0 ? '' : timeText(expiresMs));
