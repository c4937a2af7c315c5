import { Command } from 'commander';
import { addAccessCommands } from './access/accessCommands.ts';
import { addAuditCommands } from './audit/auditCommands.ts';
import { addClusterCommands } from './clusterCommands.ts';
import { addCompletionCommand } from './completion.ts';
import { addContextCommands } from './contextCommands.ts';
import { addDevCommand } from './dev.ts';
import { addGlobalOptions, type Invocation } from './invocation.ts';
import { addKvCommands } from './kvCommands.ts';
import { addMemberCommands } from './memberCommands.ts';
import { addDoctorCommand } from './offline/doctor.ts';
import { addInitCommand } from './offline/init.ts';
import { addJoinCommand } from './offline/join.ts';
import { addKeyChangeCommands } from './offline/keyChanges.ts';
import { addKeyCommands } from './offline/keys.ts';
import { addResetAdminCommand } from './offline/resetAdmin.ts';
import { addRotateAuthorityCommand } from './rotateAuthority.ts';
import { addServerCommand } from './server.ts';

/** The whole command line. Handlers throw; only run.ts turns a throw into an exit status. */
export function buildProgram(invocation: Invocation): Command {
  const program = new Command('holdfast');
  program
    .description('A clustered, replicated, encrypted control-plane store.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void invocation.streams.stdout.write(text),
      // In JSON, run.ts writes the one error object.
      writeErr: (text) => {
        if (program.opts<{ output?: string }>().output !== 'json') invocation.streams.stderr.write(text);
      },
    })
    .showSuggestionAfterError()
    .showHelpAfterError('(see holdfast --help)');
  addGlobalOptions(program);
  addDevCommand(program, invocation);
  addInitCommand(program, invocation);
  addJoinCommand(program, invocation);
  addServerCommand(program, invocation);
  addClusterCommands(program, invocation);
  addDoctorCommand(program, invocation);
  addKvCommands(program, invocation);
  addMemberCommands(program, invocation);
  addAccessCommands(program, invocation);
  addAuditCommands(program, invocation);
  addResetAdminCommand(program, invocation);
  addKeyCommands(program, invocation);
  addKeyChangeCommands(program, invocation);
  addRotateAuthorityCommand(program, invocation);
  addContextCommands(program, invocation);
  addCompletionCommand(program, invocation);
  return program;
}
