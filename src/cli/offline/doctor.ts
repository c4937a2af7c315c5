import type { Command } from 'commander';
import { systemClock } from '../../base/clock.ts';
import { toHoldfastError } from '../../base/errors.ts';
import { printable } from '../../base/printable.ts';
import type { HoldfastClient, NodeReport } from '../../client/index.ts';
import { checkCertificate } from '../../node/doctor/certificate.ts';
import type { ClockReading } from '../../node/doctor/clock.ts';
import { lookAtCertificates } from '../../node/doctor/cluster/certificates.ts';
import { examineCluster } from '../../node/doctor/cluster/examine.ts';
import { clusterView } from '../../node/doctor/cluster/view.ts';
import { diagnose } from '../../node/doctor/diagnose.ts';
import { type Finding, failureOf, ok } from '../../node/doctor/finding.ts';
import { type Context, contextPath, readContextFile, resolveContext } from '../context.ts';
import { connectTo, type Invocation, outputOf } from '../invocation.ts';
import type { Output } from '../output.ts';
import { addSettingOptions, settingsOf } from './settingOptions.ts';

const ANSWER_WITHIN_MS = 3_000;
const OTHER_CONTEXT = 'holdfast context use NAME';

/** `holdfast doctor`: what is wrong with this machine's node and with the cluster, and how to mend it. Needs no running node. */
export function addDoctorCommand(program: Command, invocation: Invocation): void {
  addSettingOptions(
    program.command('doctor').description('check this machine, and with a client context the whole cluster'),
  ).action(async (_options: unknown, command: Command) => {
    const findings = [
      ...(await diagnose(settingsOf(command, invocation), systemClock)),
      ...(await checkCluster(invocation, command.optsWithGlobals<{ context?: string }>().context)),
    ];
    showFindings(findings, outputOf(invocation, command));
    if (findings.some(({ severity }) => severity === 'failure')) invocation.exit.status = 1;
  });
}

/** With a context: its certificate, and what the nodes say. Without one there is nobody to ask. */
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
      mendEnding: `holdfast context renew${name === undefined ? '' : ` --context ${name}`}`,
      mendEnded: OTHER_CONTEXT,
      clock: systemClock,
    });
    return certificate.severity === 'failure' ? [certificate] : [certificate, ...(await examine(context))];
  } catch (thrown) {
    const unknown = toHoldfastError(thrown).field === 'context';
    const mend = unknown ? 'holdfast context list' : 'export HOLDFAST_CONFIG=FILE';
    return [failureOf('context', thrown, mend)];
  }
}

async function examine(context: Context): Promise<readonly Finding[]> {
  const { reports, readings } = await askNodes(context);
  const view = clusterView(reports);
  const certificates = await lookAtCertificates(view, context);
  return examineCluster({ view, readings, certificates }, systemClock);
}

interface Asked {
  readonly reports: readonly NodeReport[];
  readonly readings: readonly ClockReading[];
}

async function askNodes(context: Context): Promise<Asked> {
  let client: HoldfastClient;
  try {
    client = await connectTo(context, ANSWER_WITHIN_MS);
  } catch (thrown) {
    const error = toHoldfastError(thrown);
    return { reports: context.endpoints.map((endpoint) => ({ endpoint, error })), readings: [] };
  }
  try {
    const first = await client.cluster.statusOfAll();
    // Asked again, each by itself: the first answers may have waited for a node that is down.
    const timed = await Promise.all(first.map((report) => timedReport(client, report)));
    return {
      reports: timed.map(({ report }) => report),
      readings: timed.flatMap(({ reading }) => reading ?? []),
    };
  } finally {
    await client.close();
  }
}

async function timedReport(
  client: HoldfastClient,
  first: NodeReport,
): Promise<{ readonly report: NodeReport; readonly reading: ClockReading | null }> {
  if ('error' in first) return { report: first, reading: null };
  const { endpoint } = first;
  try {
    const askedMs = systemClock.wallMs();
    const status = await client.cluster.status({ endpoint });
    const answeredMs = systemClock.wallMs();
    const { name, wallTimeMs: theirMs } = status;
    return { report: { endpoint, status }, reading: { name, theirMs, askedMs, answeredMs } };
  } catch (thrown) {
    return { report: { endpoint, error: toHoldfastError(thrown) }, reading: null };
  }
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
