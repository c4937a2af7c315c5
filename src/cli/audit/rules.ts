import type { Command } from 'commander';
import { type Invocation, outputOf, withClient } from '../invocation.ts';

/** `holdfast audit rules …`: what is worth an alert. */
export function addRulesCommands(audit: Command, invocation: Invocation): void {
  const rules = audit.command('rules').description('what is worth an alert, and where alerts are sent');
  rules
    .command('show')
    .description('the rules that are in force, as they would be written')
    .action(async (_options: unknown, command: Command) => {
      const { alertFileText } = await import('./alertFile.ts');
      await withClient(invocation, command, async (client) => {
        const { settings, evaluated, delivered, head } = await client.audit.alerts();
        const { rules: inForce, webhook } = settings ?? { rules: [], webhook: null };
        const url = webhook?.url ?? null;
        const output = outputOf(invocation, command);
        output.result(
          { rules: inForce.map((rule) => ({ ...rule })), webhook: url, evaluated, delivered, head },
          [alertFileText({ rules: inForce, webhook: webhook ?? null })],
        );
        output.note(`records gone over: up to ${evaluated} of ${head}`);
        if (url !== null) output.note(`alerts delivered: up to record ${delivered}`);
      });
    });
  rules
    .command('validate')
    .description('say whether a file of rules can be used; asks no cluster')
    .argument('<file>', 'YAML')
    .action(async (file: string, _options: unknown, command: Command) => {
      const { checkedAlertFile } = await import('../offline/alertCheck.ts');
      const { rules: found } = checkedAlertFile(file);
      outputOf(invocation, command).result({ rules: found.length, valid: true }, [
        `${file}: ${found.length} rules`,
      ]);
    });
  rules
    .command('put')
    .description('put the rules of a file in the place of those in force')
    .argument('<file>', 'YAML')
    .action(async (file: string, _options: unknown, command: Command) => {
      const { checkedAlertFile } = await import('../offline/alertCheck.ts');
      const wanted = checkedAlertFile(file);
      await withClient(invocation, command, async (client) => {
        await client.audit.setAlerts(wanted);
        outputOf(invocation, command).result({ rules: wanted.rules.length }, [
          `${wanted.rules.length} rules are in force`,
        ]);
      });
    });
}
