import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { HoldfastError } from '../../base/errors.ts';
import { type Invocation, outputOf } from '../invocation.ts';
import { orInterrupted } from './interrupted.ts';
import { addSettingOptions, settingsOf } from './settingOptions.ts';

const TOKEN_BYTES_MAX = 8_192;

/** `holdfast join`: makes a further node of a cluster that runs. */
export function addJoinCommand(program: Command, invocation: Invocation): void {
  addSettingOptions(program.command('join').description('make a further node of a running cluster'))
    .argument('[token]', 'from holdfast member add-token; better given by --token-file')
    .option('--token-file <path>', 'read the token from a file; - for standard input')
    .action(async (token: string | undefined, options: { tokenFile?: string }, command: Command) => {
      const text = await tokenText(token, options.tokenFile, invocation);
      const { joinNode } = await import('../../node/joinNode.ts');
      const settings = await settingsOf(command, invocation);
      const joined = await orInterrupted(joinNode(settings, text), invocation.interrupted);
      outputOf(invocation, command).result(
        { clusterId: joined.clusterId, nodeId: joined.nodeId, role: joined.role },
        [
          `node ${joined.nodeId} is a member of cluster ${joined.clusterId}`,
          joined.role === 'voter' ? 'it becomes a voter once it has caught up' : 'it stays a learner',
          'next: holdfast server (with the same settings)',
        ],
      );
    });
}

async function tokenText(
  token: string | undefined,
  file: string | undefined,
  invocation: Invocation,
): Promise<string> {
  if (token !== undefined && file !== undefined) {
    throw new HoldfastError('USAGE', 'give the token or --token-file, not both', { field: 'token' });
  }
  if (token !== undefined) return token.trim();
  if (file === undefined) {
    throw new HoldfastError('USAGE', 'a join token is needed', {
      field: 'token',
      hint: 'holdfast member add-token makes one; pass it by --token-file FILE, or --token-file - for standard input',
    });
  }
  if (file === '-') return readStandardInput(invocation);
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new HoldfastError('FILE_UNREADABLE', `the token file ${file} cannot be read`, {
      field: 'token-file',
      hint: 'name the file that holds what holdfast member add-token printed',
      cause,
    });
  }
}

async function readStandardInput(invocation: Invocation): Promise<string> {
  let text = '';
  for await (const chunk of invocation.stdin) {
    text += String(chunk);
    if (text.length > TOKEN_BYTES_MAX)
      throw new HoldfastError('TOKEN_MALFORMED', 'the join token is too long', {
        field: 'token',
        hint: 'pass only what holdfast member add-token printed',
      });
  }
  return text.trim();
}
