import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import { type HoldfastClient } from '../client/index.ts';
import { contextPath, resolveContext, saveContext } from './context.ts';
import { type DevLayout, type DevNode, devLayout, nodeFlags } from './dev/layout.ts';
import { type ChildSources, NodeProcesses, runCommand } from './dev/processes.ts';
import { connectTo, type Invocation, outputOf } from './invocation.ts';
import type { Output } from './output.ts';
import { until } from './until.ts';

const READY_WITHIN_MS = 60_000;
const STOP_GRACE_MS = 5_000;
const RESTART_DELAY_MS = 500;

interface DevOptions {
  readonly nodes: string;
  readonly dir: string;
  readonly port: string;
  readonly restart: boolean;
  readonly encryption?: string;
}

export function addDevCommand(program: Command, invocation: Invocation): void {
  program
    .command('dev')
    .description('a local cluster in one terminal: real processes, real TLS, a client context ready to use')
    .option('--nodes <count>', 'how many nodes, 1 to 7', '3')
    .option('--dir <dir>', 'where everything is kept', '.holdfast')
    .option('--port <port>', 'API port of the first node; node i adds 10 (i - 1)', '7440')
    .option('--encryption <on|off>', 'for a new cluster only; default on')
    .option('--no-restart', 'leave a node that dies as it is')
    .action(async (options: DevOptions, command: Command) => {
      await runDev(options, invocation, outputOf(invocation, command));
    });
}

async function runDev(options: DevOptions, invocation: Invocation, output: Output): Promise<void> {
  const layout = devLayout({
    dir: options.dir,
    nodes: wholeNumber(options.nodes, { name: '--nodes', min: 1, max: 7 }),
    port: wholeNumber(options.port, { name: '--port', min: 1, max: 65_400 }),
  });
  const sources: ChildSources = {
    entry: process.argv[1] ?? '',
    execArguments: process.execArgv,
    environment: invocation.environment,
  };
  let up = false;
  const failure = new AbortController();
  const processes = new NodeProcesses(sources, {
    died: (node, how, lastWords) => {
      output.note(`${node.name} died (${how})${lastWords === '' ? '' : `; its last words:\n${lastWords}`}`);
      if (!up)
        failure.abort(
          new HoldfastError('UNAVAILABLE', `${node.name} could not be started`, { hint: lastWords }),
        );
      if (!up || !options.restart) return;
      output.note(`${node.name} is started again`);
      setTimeout(() => processes.start(node), RESTART_DELAY_MS);
    },
  });
  try {
    const interrupted = AbortSignal.any([invocation.interrupted, failure.signal]);
    await bringUp({ layout, processes, sources, output, options, interrupted });
    up = true;
    printNextSteps(layout, output, options, invocation);
    await aborted(invocation.interrupted);
  } catch (thrown) {
    // A node that cannot start says more than what waited for it.
    throw failure.signal.aborted ? failure.signal.reason : thrown;
  } finally {
    output.note('stopping');
    await processes.stop(STOP_GRACE_MS);
  }
}

interface BringUp {
  readonly layout: DevLayout;
  readonly processes: NodeProcesses;
  readonly sources: ChildSources;
  readonly output: Output;
  readonly options: DevOptions;
  readonly interrupted: AbortSignal;
}

/** Makes what is not there yet and starts the rest: running it again over the same folder is harmless. */
async function bringUp({ layout, processes, sources, output, options, interrupted }: BringUp): Promise<void> {
  const [first, ...others] = layout.nodes;
  if (first === undefined) return;
  if (!existsSync(join(first.dataDir, 'identity.json'))) {
    mkdirSync(first.secretDir, { recursive: true, mode: 0o700 });
    const encryption = options.encryption === undefined ? [] : ['--encryption', options.encryption];
    output.note(`${first.name}: making a new cluster in ${layout.dir}`);
    await runCommand(sources, [
      'init',
      ...nodeFlags(first),
      '--context-file',
      layout.contextPath,
      '--context-name',
      'dev',
      ...encryption,
    ]);
  }
  const joined = others.filter((node) => existsSync(join(node.dataDir, 'identity.json')));
  for (const node of [first, ...joined]) processes.start(node);
  const context = resolveContext({ HOLDFAST_CONFIG: layout.contextPath }, undefined);
  const endpoints = layout.nodes.map((node) => node.apiAddress);
  const client = await connectTo({ ...context, endpoints });
  try {
    await ready(client, { voters: 1 + joined.length, interrupted });
    for (const node of others.filter((one) => !joined.includes(one))) {
      await joinNode({ node, first, client, sources, output });
      processes.start(node);
    }
    await ready(client, { voters: layout.nodes.length, interrupted });
    // From here on any node will do, also when the first one is down.
    await saveContext(layout.contextPath, { ...context, endpoints });
  } finally {
    await client.close();
  }
}

interface JoinNode {
  readonly node: DevNode;
  readonly first: DevNode;
  readonly client: HoldfastClient;
  readonly sources: ChildSources;
  readonly output: Output;
}

async function joinNode({ node, first, client, sources, output }: JoinNode): Promise<void> {
  output.note(`${node.name}: joining`);
  mkdirSync(node.secretDir, { recursive: true, mode: 0o700 });
  if (!existsSync(node.controlKeyPath)) copyFileSync(first.controlKeyPath, node.controlKeyPath);
  if (!existsSync(node.jwtSecretPath)) copyFileSync(first.jwtSecretPath, node.jwtSecretPath);
  const { token } = await client.cluster.addToken({ role: 'voter' });
  await runCommand(sources, ['join', '--token-file', '-', ...nodeFlags(node)], token);
}

/** Waits until a leader answers and that many voters are there and reachable. */
async function ready(
  client: HoldfastClient,
  { voters, interrupted }: { voters: number; interrupted: AbortSignal },
): Promise<void> {
  await until({ withinMs: READY_WITHIN_MS, what: `${voters} voters`, interrupted }, async () => {
    const { members } = await client.cluster.members();
    const live = members.filter((member) => member.role === 'voter' && (member.reachable || member.leader));
    return live.length >= voters;
  });
}

function printNextSteps(
  layout: DevLayout,
  output: Output,
  options: DevOptions,
  invocation: Invocation,
): void {
  const lines = [
    `${layout.nodes.length} nodes are up: ${layout.nodes.map((node) => node.apiAddress).join(', ')}`,
    `data, keys and logs are in ${layout.dir}`,
    '',
    'In another terminal:',
  ];
  if (contextPath(invocation.environment) !== layout.contextPath) {
    const path = options.dir.startsWith('/') ? options.dir : `$PWD/${options.dir}`;
    lines.push(`  export HOLDFAST_CONFIG=${path.replace(/\/$/, '')}/context.json`);
  }
  lines.push(
    '  npx holdfast status',
    '  npx holdfast kv put greeting "hello, world"',
    '  npx holdfast kv get greeting',
    '',
    'Ctrl-C stops all nodes; what they hold stays.',
  );
  output.result(
    { nodes: layout.nodes.map((node) => node.apiAddress), contextFile: layout.contextPath },
    lines,
  );
}

function wholeNumber(text: string, { name, min, max }: { name: string; min: number; max: number }): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new HoldfastError('USAGE', `${name} must be a whole number from ${min} to ${max}`, { field: name });
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
