import type { Command } from 'commander';
import { systemClock } from '../../base/clock.ts';
import { toHoldfastError } from '../../base/errors.ts';
import type { HoldfastClient } from '../../client/index.ts';
import { checkCertificate } from '../../node/doctor/certificate.ts';
import { checkClockAgainst } from '../../node/doctor/clock.ts';
import { diagnose } from '../../node/doctor/diagnose.ts';
import { type Finding, failureOf, ok, warning } from '../../node/doctor/finding.ts';
import { checkScrub } from '../../node/doctor/scrub.ts';
import { type Context, contextPath, readContextFile, resolveContext } from '../context.ts';
import { connectTo, type Invocation, outputOf } from '../invocation.ts';
import type { Output } from '../output.ts';
import { addSettingOptions, settingsOf } from './settingOptions.ts';

const ANSWER_WITHIN_MS = 3_000;

/** `holdfast doctor`: what is wrong with this machine's node, and how to mend it. Needs no running node. */
export function addDoctorCommand(program: Command, invocation: Invocation): void {
  addSettingOptions(
    program
      .command('doctor')
      .description('check key files, data directory, disk, ports, clock and certificates of this machine'),
  ).action(async (_options: unknown, command: Command) => {
    const findings = [
      ...(await diagnose(settingsOf(command, invocation), systemClock)),
      ...(await checkCluster(invocation, command.optsWithGlobals<{ context?: string }>().context)),
    ];
    showFindings(findings, outputOf(invocation, command));
    if (findings.some(({ severity }) => severity === 'failure')) invocation.exit.status = 1;
  });
}

/** With a context: its certificate, and the clocks of the nodes that answer. Without one there is nothing to check. */
async function checkCluster(invocation: Invocation, name: string | undefined): Promise<readonly Finding[]> {
  const { environment } = invocation;
  const path = contextPath(environment);
  try {
    const wanted = name ?? environment['HOLDFAST_CONTEXT'] ?? environment['HOLDFAST_ENDPOINTS'];
    if (wanted === undefined && readContextFile(path) === null) {
      return [ok('context', `there is no client context in ${path}; the cluster was not asked`)];
    }
    const context = resolveContext(environment, name);
    const certificate = checkCertificate(context.certificate, {
      check: 'context',
      whose: `the client certificate of context ${context.name}`,
      mend: 'ask an administrator of the cluster for a new context',
      clock: systemClock,
    });
    return certificate.severity === 'failure' ? [certificate] : [certificate, ...(await askNodes(context))];
  } catch (thrown) {
    return [failureOf('context', thrown, 'holdfast context list')];
  }
}

async function askNodes(context: Context): Promise<readonly Finding[]> {
  let client: HoldfastClient;
  try {
    client = await connectTo(context, ANSWER_WITHIN_MS);
  } catch (thrown) {
    const { message } = toHoldfastError(thrown);
    return [warning('cluster', `no node answers: ${message}`, 'start the nodes: holdfast server')];
  }
  try {
    const askedMs = systemClock.wallMs();
    const nodes = await client.cluster.statusOfAll();
    const answeredMs = systemClock.wallMs();
    return nodes.flatMap((node): Finding[] => {
      if ('error' in node) {
        return [warning('cluster', `${node.endpoint}: ${node.error.message}`, 'holdfast status')];
      }
      const { name, wallTimeMs, warnings, scrub } = node.status;
      return [
        ...checkScrub(name, scrub),
        checkClockAgainst({ name, theirMs: wallTimeMs, askedMs, answeredMs }),
        ...warnings.map((text) => warning('cluster', `${name}: ${text}`, 'holdfast status')),
      ];
    });
  } finally {
    await client.close();
  }
}

function showFindings(findings: readonly Finding[], output: Output): void {
  const colors = {
    ok: (text: string) => output.good(text),
    warning: (text: string) => output.warn(text),
    failure: (text: string) => output.bad(text),
  };
  const lines = findings.flatMap(({ check, severity, message, mend }) => [
    `${colors[severity](severity.padEnd(7))}  ${check}: ${message}`,
    ...(mend === null ? [] : [`         mend: ${mend}`]),
  ]);
  const counted = (['failure', 'warning'] as const).map((wanted) => {
    const count = findings.filter(({ severity }) => severity === wanted).length;
    return `${count} ${wanted}${count === 1 ? '' : 's'}`;
  });
  output.result({ findings }, [...lines, '', counted.join(', ')]);
}
