import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, copyFileSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { present } from '../src/base/assert.ts';
import { type Context, resolveContext } from '../src/cli/context.ts';
import { NODE_FLAGS } from '../src/cli/dev/processes.ts';
import { connect, type HoldfastClient, type StatusResponse } from '../src/client/index.ts';
import { freePort } from '../test/freePort.ts';
import { RecordingProxy } from './recordingProxy.ts';
import { until } from './until.ts';

/** What users run, unless a suite has made another program of the same sources (oneFileProgram.ts). */
export const PROGRAM =
  process.env['CLUSTER_PROGRAM'] ?? fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

const START_WITHIN_MS = 30_000;

export interface ClusterNode {
  readonly name: string;
  readonly dataDir: string;
  readonly controlKeyPath: string;
  readonly jwtSecretPath: string;
  readonly apiAddress: string;
  readonly peerAddress: string;
  readonly logPath: string;
  /** Where other nodes are told to connect, when that is not `peerAddress` itself. */
  readonly advertisePeer?: string;
  /** How its process is started, when that is not simply with Node.js. */
  readonly launch?: Launch;
}

export interface Launch {
  /** Runs what follows: `nsenter` and its options, for example. It must become that process, not its parent. */
  readonly wrapper?: readonly string[];
  readonly nodeArguments?: readonly string[];
  /** Instead of PROGRAM. */
  readonly program?: string;
  readonly environment?: NodeJS.ProcessEnv;
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Runs the program once and waits for its end. */
export async function holdfast(
  args: readonly string[],
  options: { readonly environment?: NodeJS.ProcessEnv; readonly stdin?: string } = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: { ...process.env, NO_COLOR: '1', ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.stdin ?? '');
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout: Buffer.concat(stdout), stderr };
}

/** Real nodes as real processes on loopback, each with its own folders; everything is gone after `destroy`. */
export class LocalCluster {
  readonly dir = mkdtempSync(join(tmpdir(), 'holdfast-cluster-'));
  readonly nodes: ClusterNode[] = [];
  readonly #children = new Map<string, ChildProcess>();
  /** What the nodes say to each other goes through these, when it is recorded. */
  readonly proxies: RecordingProxy[] = [];

  /** Forms a cluster of `size` voters. */
  static async form(
    size: number,
    options: {
      readonly encryption?: 'on' | 'off';
      readonly recordTraffic?: boolean;
      readonly newNode?: (dir: string, name: string) => Promise<ClusterNode>;
      /** Told before anything is started, so that it can be destroyed whatever happens. */
      readonly onCreated?: (cluster: LocalCluster) => void;
    } = {},
  ): Promise<LocalCluster> {
    const cluster = new LocalCluster();
    options.onCreated?.(cluster);
    for (let i = 1; i <= size; i += 1) {
      const node = await (options.newNode ?? newNode)(cluster.dir, `n${i}`);
      cluster.nodes.push(options.recordTraffic === true ? await cluster.#recorded(node) : node);
    }
    const [first, ...others] = cluster.nodes;
    const encryption = options.encryption === undefined ? [] : ['--encryption', options.encryption];
    await cluster.expectDone([
      'init',
      ...nodeFlags(present(first, 'first node')),
      ...encryption,
      '--context-file',
      cluster.contextPath,
    ]);
    cluster.start('n1');
    await cluster.untilVoters(1);
    for (const node of others) {
      await cluster.join(node);
      cluster.start(node.name);
    }
    await cluster.untilVoters(size);
    return cluster;
  }

  async #recorded(node: ClusterNode): Promise<ClusterNode> {
    const [host = '', port] = node.peerAddress.split(':');
    const proxy = await RecordingProxy.listen({ host, port: Number(port) });
    this.proxies.push(proxy);
    return { ...node, advertisePeer: proxy.address };
  }

  get contextPath(): string {
    return join(this.dir, 'context.json');
  }

  node(name: string): ClusterNode {
    return present(
      this.nodes.find((node) => node.name === name),
      name,
    );
  }

  /** Gives a node the key files and makes it a member. */
  async join(node: ClusterNode, role: 'voter' | 'learner' = 'voter'): Promise<void> {
    const first = present(this.nodes[0], 'a node with key files');
    copyFileSync(first.controlKeyPath, node.controlKeyPath);
    copyFileSync(first.jwtSecretPath, node.jwtSecretPath);
    const client = await this.client();
    const { token } = await client.cluster.addToken({ role });
    await client.close();
    await this.expectDone(['join', '--token-file', '-', ...nodeFlags(node)], token);
  }

  async expectDone(
    args: readonly string[],
    stdin = '',
    more: NodeJS.ProcessEnv = {},
  ): Promise<CommandResult> {
    const environment = { HOLDFAST_CONFIG: this.contextPath, ...more };
    const result = await holdfast(args, { environment, stdin });
    if (result.code !== 0)
      throw new Error(`holdfast ${args.join(' ')}: exit ${result.code}\n${result.stderr}`);
    return result;
  }

  start(name: string): void {
    this.#children.set(name, this.startProcess(this.node(name)));
  }

  /** One more process, which the caller ends. */
  startProcess(node: ClusterNode): ChildProcess {
    const { wrapper = [], nodeArguments = [], program = PROGRAM, environment = {} } = node.launch ?? {};
    const [command = process.execPath, ...rest] = [
      ...wrapper,
      process.execPath,
      ...NODE_FLAGS,
      ...nodeArguments,
      program,
      'server',
      ...nodeFlags(node),
    ];
    const log = openSync(node.logPath, 'a');
    const child = spawn(command, rest, {
      env: { ...process.env, UV_THREADPOOL_SIZE: '16', ...environment },
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    return child;
  }

  /** The process that runs, or ran last, under this name. */
  process(name: string): ChildProcess | undefined {
    return this.#children.get(name);
  }

  startAll(): void {
    for (const node of this.nodes) this.start(node.name);
  }

  isRunning(name: string): boolean {
    const child = this.#children.get(name);
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  async stop(name: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#children.get(name);
    if (child === undefined || !this.isRunning(name)) return child?.exitCode ?? null;
    const gone = once(child, 'exit');
    child.kill(signal);
    const [code] = (await gone) as [number | null];
    return code;
  }

  /** Gone at once, with whatever it was doing. */
  kill(name: string): Promise<number | null> {
    return this.stop(name, 'SIGKILL');
  }

  async stopAll(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await Promise.all(this.nodes.map((node) => this.stop(node.name, signal)));
  }

  processId(name: string): number {
    return present(this.#children.get(name)?.pid, `process of ${name}`);
  }

  context(): Context {
    return resolveContext({ HOLDFAST_CONFIG: this.contextPath }, undefined);
  }

  /** A client of all nodes, or of the named ones. */
  client(
    names: readonly string[] = this.nodes.map((node) => node.name),
    requestTimeoutMs = 10_000,
  ): Promise<HoldfastClient> {
    const endpoints = names.map((name) => this.node(name).apiAddress);
    return connect({ ...this.context(), endpoints, requestTimeoutMs });
  }

  async statuses(): Promise<readonly StatusResponse[]> {
    const client = await this.client();
    try {
      const reports = await client.cluster.statusOfAll({ timeoutMs: 2_000 });
      return reports.flatMap((report) => ('status' in report ? [report.status] : []));
    } finally {
      await client.close();
    }
  }

  async leader(): Promise<string> {
    let name: string | undefined;
    await until(START_WITHIN_MS, 'a leader', async () => {
      name = (await this.statuses()).find((status) => status.role === 'leader')?.name;
      return name !== undefined;
    });
    return present(name, 'leader');
  }

  async untilVoters(count: number): Promise<void> {
    await until(
      START_WITHIN_MS,
      () => `${count} voters; the logs say:\n${this.lastWords()}`,
      async () => {
        const client = await this.client();
        try {
          const { members } = await client.cluster.members({ timeoutMs: 1_000 });
          return members.filter((member) => member.role === 'voter' && member.reachable).length === count;
        } finally {
          await client.close();
        }
      },
    );
  }

  /** Waits until all nodes have applied the same index, and returns their digests there. */
  async equalDigests(): Promise<readonly string[]> {
    let digests: readonly string[] = [];
    await until(
      START_WITHIN_MS,
      () => `equal applied indexes; the logs say:\n${this.lastWords()}`,
      async () => {
        const statuses = await this.statuses();
        const first = statuses[0];
        digests = statuses.map((status) => status.digest);
        return (
          first !== undefined &&
          statuses.length === this.nodes.length &&
          statuses.every((status) => status.appliedIndex === first.appliedIndex)
        );
      },
    );
    return digests;
  }

  lastWords(): string {
    return this.nodes
      .map((node) => {
        try {
          return `--- ${node.name}\n${readFileSync(node.logPath, 'utf8').trimEnd().split('\n').slice(-5).join('\n')}`;
        } catch {
          return `--- ${node.name}: no log`;
        }
      })
      .join('\n');
  }

  async destroy(): Promise<void> {
    await this.stopAll('SIGKILL');
    for (const proxy of this.proxies) await proxy.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export function nodeFlags(node: ClusterNode): readonly string[] {
  return [
    '--data-dir',
    node.dataDir,
    '--name',
    node.name,
    '--control-key-path',
    node.controlKeyPath,
    '--jwt-secret-path',
    node.jwtSecretPath,
    '--listen-api',
    node.apiAddress,
    '--listen-peer',
    node.peerAddress,
    ...(node.advertisePeer === undefined ? [] : ['--advertise-peer', node.advertisePeer]),
  ];
}

export async function newNode(dir: string, name: string): Promise<ClusterNode> {
  const secretDir = join(dir, 'secret', name);
  mkdirSync(secretDir, { recursive: true, mode: 0o700 });
  return {
    name,
    dataDir: join(dir, name),
    controlKeyPath: join(secretDir, 'secret-control.json'),
    jwtSecretPath: join(secretDir, 'secret-jwt.json'),
    apiAddress: `127.0.0.1:${await freePort()}`,
    peerAddress: `127.0.0.1:${await freePort()}`,
    logPath: join(dir, `${name}.log`),
  };
}
