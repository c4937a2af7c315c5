import type { Command } from 'commander';
import { systemClock } from '../../base/clock.ts';
import { printable } from '../../base/printable.ts';
import type { Finding } from '../../node/doctor/finding.ts';
import { type Invocation, outputOf } from '../invocation.ts';
import type { Output } from '../output.ts';
import { addSettingOptions, settingsOf } from './settingOptions.ts';

/** `holdfast doctor`: what is wrong with this machine's node and with the cluster, and how to mend it. Needs no running node. */
export function addDoctorCommand(program: Command, invocation: Invocation): void {
  addSettingOptions(
    program.command('doctor').description('check this machine, and with a client context the whole cluster'),
  ).action(async (_options: unknown, command: Command) => {
    const [{ diagnose }, { checkCluster }] = await Promise.all([
      import('../../node/doctor/diagnose.ts'),
      import('./clusterCheck.ts'),
    ]);
    const findings = [
      ...(await diagnose(await settingsOf(command, invocation), systemClock)),
      ...(await checkCluster(invocation, command.optsWithGlobals<{ context?: string }>().context)),
    ];
    showFindings(findings, outputOf(invocation, command));
    if (findings.some(({ severity }) => severity === 'failure')) invocation.exit.status = 1;
  });
}

function showFindings(findings: readonly Finding[], output: Output): void {
  const colors = {
    ok: (text: string) => output.good(text),
    notice: (text: string) => text,
    warning: (text: string) => output.warn(text),
    failure: (text: string) => output.bad(text),
  };
  const lines = findings.flatMap(({ check, severity, message, mend }) => [
    `${colors[severity](severity.padEnd(7))}  ${check}: ${printable(message)}`,
    ...(mend === null ? [] : [`         mend: ${printable(mend)}`]),
  ]);
  const counted = (['failure', 'warning', 'notice'] as const).map((wanted) => {
    const count = findings.filter(({ severity }) => severity === wanted).length;
    return `${count} ${wanted}${count === 1 ? '' : 's'}`;
  });
  output.result({ findings }, [...lines, '', counted.join(', ')]);
}
