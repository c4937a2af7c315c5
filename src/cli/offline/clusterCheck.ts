import { systemClock } from '../../base/clock.ts';
import { toHoldfastError } from '../../base/errors.ts';
import type { HoldfastClient, NodeReport } from '../../client/index.ts';
import { checkCertificate } from '../../node/doctor/certificate.ts';
import type { ClockReading } from '../../node/doctor/clock.ts';
import { lookAtCertificates } from '../../node/doctor/cluster/certificates.ts';
import { examineCluster } from '../../node/doctor/cluster/examine.ts';
import { clusterView } from '../../node/doctor/cluster/view.ts';
import { type Finding, failureOf, ok, warning } from '../../node/doctor/finding.ts';
import { isWithheld } from '../clusterFields.ts';
import { type Context, contextPath, readContextFile, resolveContext } from '../context.ts';
import { connectTo, type Invocation } from '../invocation.ts';

const ANSWER_WITHIN_MS = 3_000;
const OTHER_CONTEXT = 'holdfast context use NAME';
const NOT_TOLD = warning(
  'cluster',
  'the nodes answer, and tell how the cluster is only to who has admin:cluster',
  OTHER_CONTEXT,
);

/** With a context: its certificate, and what the nodes say. Without one there is nobody to ask. */
export async function checkCluster(
  invocation: Invocation,
  name: string | undefined,
): Promise<readonly Finding[]> {
  const { environment } = invocation;
  const path = contextPath(environment);
  try {
    const wanted = name ?? environment['HOLDFAST_CONTEXT'] ?? environment['HOLDFAST_ENDPOINTS'];
    if (wanted === undefined && readContextFile(path) === null) {
      return [ok('context', `there is no client context in ${path}; the cluster was not asked`)];
    }
    const context = resolveContext(environment, name);
    if (context.certificate === '') return await examine(context);
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
  // What is left out of a status looks like what is missing.
  if (view.answered.some((status) => isWithheld(status, 'cluster'))) return [NOT_TOLD];
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
