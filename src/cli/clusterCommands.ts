import type { Command } from 'commander';
import { toHoldfastError } from '../base/errors.ts';
import { printable } from '../base/printable.ts';
import type { NodeReport, StatusResponse } from '../client/index.ts';
import { auditSinkLine, isWithheld, statusFields } from './clusterFields.ts';
import { type Invocation, outputOf, withClient } from './invocation.ts';
import type { Output } from './output.ts';
import { programVersion } from './version.ts';

/** `holdfast status`, `holdfast version`. */
export function addClusterCommands(program: Command, invocation: Invocation): void {
  program
    .command('version')
    .description("this program's version")
    .action((_options: unknown, command: Command) => {
      outputOf(invocation, command).result({ version: programVersion() }, [`holdfast ${programVersion()}`]);
    });

  program
    .command('status')
    .description('every node, as each one sees itself')
    .action(async (_options: unknown, command: Command) => {
      const output = outputOf(invocation, command);
      const unreachable = await withClient(invocation, command, async (client) => {
        const nodes = await client.cluster.statusOfAll();
        showStatus(nodes.map(nodeView), output);
        return nodes.some((node) => 'error' in node);
      });
      if (unreachable) invocation.exit.status = 1;
    });
}

type NodeStatuses = readonly NodeReport[];

interface NodeView {
  readonly json: object;
  readonly row: readonly string[];
  readonly warnings: readonly string[];
  readonly cluster: string | null;
  readonly auditSink: string | null;
  /** Parts that are not told. */
  readonly withheld: readonly string[];
}

function nodeView(node: NodeStatuses[number]): NodeView {
  if ('error' in node) {
    const { code, message: said } = toHoldfastError(node.error);
    const message = printable(said);
    return {
      json: { endpoint: node.endpoint, error: { code, message } },
      row: ['', node.endpoint, 'unreachable', '', '', '', '', ''],
      warnings: [`${node.endpoint}: ${message}`],
      cluster: null,
      auditSink: null,
      withheld: [],
    };
  }
  const { endpoint, status } = node;
  return {
    json: { endpoint, ...statusFields(status) },
    row: [
      status.name,
      endpoint,
      status.role,
      String(status.term),
      String(status.appliedIndex),
      String(status.revision),
      isWithheld(status, 'cluster') ? '' : String(status.keys),
      status.digest.slice(0, 12),
    ],
    warnings: status.warnings.map((warning) => printable(`${status.name}: ${warning}`)),
    cluster: clusterLine(status),
    auditSink: auditSinkLine(status),
    withheld: status.withheld ?? [],
  };
}

function clusterLine(status: StatusResponse): string {
  const { clusterId, encryption, controlKeyFingerprint } = status;
  if (isWithheld(status, 'keys')) return `cluster ${clusterId}`;
  return `cluster ${clusterId}, encryption ${encryption}, control key ${controlKeyFingerprint.slice(0, 19)}…`;
}

function showStatus(nodes: readonly NodeView[], output: Output): void {
  const cluster = nodes.find((node) => node.cluster !== null)?.cluster;
  if (cluster !== undefined && cluster !== null && output.format === 'table') output.result({}, [cluster]);
  output.table(
    { nodes: nodes.map((node) => node.json) },
    {
      head: ['NAME', 'API', 'ROLE', 'TERM', 'APPLIED', 'REVISION', 'KEYS', 'DIGEST'],
      rows: nodes.map((node) => node.row),
    },
  );
  if (output.format === 'table')
    output.result(
      {},
      nodes.flatMap(({ auditSink }) => auditSink ?? []),
    );
  for (const warning of nodes.flatMap((node) => node.warnings))
    output.note(output.warn(`warning: ${warning}`));
  const withheld = new Set(nodes.flatMap((node) => node.withheld));
  if (withheld.size > 0) output.note(printable(`withheld is what takes admin: ${[...withheld].join(', ')}`));
}
