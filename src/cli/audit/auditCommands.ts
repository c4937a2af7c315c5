import type { Command } from 'commander';
import type { Invocation } from '../invocation.ts';
import { addExportCommand } from './export.ts';
import { addAlertsCommand, addListCommand, addSecretCommand, addTailCommand } from './list.ts';
import { addRulesCommands } from './rules.ts';
import { addSettingsCommand } from './settings.ts';
import { addVerifyCommand } from './verify.ts';

/** `holdfast audit …` */
export function addAuditCommands(program: Command, invocation: Invocation): void {
  const audit = program.command('audit').description('who did what: the records of the cluster');
  addListCommand(audit, invocation);
  addSecretCommand(audit, invocation);
  addTailCommand(audit, invocation);
  addAlertsCommand(audit, invocation);
  addRulesCommands(audit, invocation);
  addExportCommand(audit, invocation);
  addVerifyCommand(audit, invocation);
  addSettingsCommand(audit, invocation);
}
