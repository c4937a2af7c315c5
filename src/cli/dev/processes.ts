import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorOfFields, HoldfastError } from '../../base/errors.ts';
import { type DevNode, nodeFlags } from './layout.ts';

/** A child gets nothing of holdfast's environment: its flags say it all. */
function childEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('HOLDFAST_')));
}

/**
 * How Node collects garbage beside a node's work: with one thread more, since all others would be taken from whoever else
 * needs a core just then; and a little at a time, since nobody is answered meanwhile. As in the Dockerfile and in
 * docs/operations.md.
 */
export const NODE_FLAGS: readonly string[] = ['--v8-pool-size=1', '--max-semi-space-size=4'];

export interface ChildSources {
  /** This program's own entry file. */
  readonly entry: string;
  readonly execArguments: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
}

/** Runs one holdfast command to its end. @throws HoldfastError as the command did */
export async function runCommand(sources: ChildSources, args: readonly string[], stdin = ''): Promise<void> {
  const words = [...sources.execArguments, sources.entry, ...args, '--output', 'json'];
  const child = spawn(process.execPath, words, {
    env: childEnvironment(sources.environment),
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4_096);
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin);
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw failureSaid(said, `holdfast ${args[0]}`);
}

/** The error that a command has written as JSON in its last line. */
function failureSaid(said: string, command: string): HoldfastError {
  try {
    const { error } = JSON.parse(said.trimEnd().split('\n').at(-1) ?? '') as {
      readonly error: Parameters<typeof errorOfFields>[0];
    };
    return errorOfFields({ ...error, message: `${command}: ${error.message}` });
  } catch (cause) {
    return new HoldfastError('INTERNAL', `${command} failed: ${said.trim()}`, { cause });
  }
}

export interface NodeProcessEvents {
  /** The process is gone although nobody asked it to stop. `lastWords` is the end of its log. */
  readonly died: (node: DevNode, how: string, lastWords: string) => void;
}

/** The server processes of a local cluster. They end when this process ends, however that happens. */
export class NodeProcesses {
  readonly #sources: ChildSources;
  readonly #events: NodeProcessEvents;
  readonly #running = new Map<string, ChildProcess>();
  #stopping = false;

  constructor(sources: ChildSources, events: NodeProcessEvents) {
    this.#sources = sources;
    this.#events = events;
  }

  start(node: DevNode): void {
    if (this.#stopping) return;
    mkdirSync(dirname(node.logPath), { recursive: true });
    const log = openSync(node.logPath, 'a');
    const { execArguments, entry, environment } = this.#sources;
    const words = [...NODE_FLAGS, ...execArguments, entry, 'server', ...nodeFlags(node)];
    const child = spawn(process.execPath, words, {
      env: { ...childEnvironment(environment), UV_THREADPOOL_SIZE: '16' },
      // The channel is never spoken on: its end tells the server that its parent is gone.
      stdio: ['ignore', log, log, 'ipc'],
      // Ctrl-C reaches the whole terminal; the parent alone decides the order of stopping.
      detached: true,
    });
    closeSync(log);
    this.#running.set(node.name, child);
    child.once('exit', (code, signal) => {
      this.#running.delete(node.name);
      if (!this.#stopping) this.#events.died(node, signal ?? `exit ${code}`, lastLines(node.logPath));
    });
  }

  processId(name: string): number | undefined {
    return this.#running.get(name)?.pid;
  }

  /** Stops all: SIGTERM, and SIGKILL for what is still there after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    await Promise.all(
      [...this.#running.values()].map(async (child) => {
        const gone = once(child, 'exit');
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
        await gone;
        clearTimeout(timer);
      }),
    );
  }
}

function lastLines(path: string): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-3).join('\n');
}
