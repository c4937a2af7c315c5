import type { Readable } from 'node:stream';
import { type Command, Option } from 'commander';
import { systemClock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { connect, type HoldfastClient } from '../client/index.ts';
import { parseDuration } from './arguments.ts';
import { type Context, resolveContext } from './context.ts';
import { Output, type OutputFormat, type Streams } from './output.ts';

/** A terminal, or what is read instead of one. */
export type TerminalInput = Readable & {
  readonly isTTY?: boolean;
  readonly setRawMode?: (mode: boolean) => unknown;
};

/** What a command is given of the world around it. */
export interface Invocation {
  readonly environment: NodeJS.ProcessEnv;
  readonly streams: Streams;
  readonly stdin: TerminalInput;
  /** Aborted by Ctrl-C or SIGTERM. */
  readonly interrupted: AbortSignal;
  /** The status that the program ends with when nothing is thrown. */
  readonly exit: { status: 0 | 1 };
}

interface GlobalOptions {
  readonly output?: OutputFormat;
  readonly context?: string;
  readonly timeout?: string;
}

/** Options that every command has. */
export function addGlobalOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--output <format>', 'how results are shown').choices(['table', 'json']).default('table'),
    )
    .option('--context <name>', 'the client context to use')
    .option('--timeout <duration>', 'how long each request to the cluster may take (default: 5s)');
}

/** The output of the command that runs. */
export function outputOf(invocation: Invocation, command: Command): Output {
  const { output } = command.optsWithGlobals<GlobalOptions>();
  const colors = invocation.streams.stdout.isTTY === true && !invocation.environment['NO_COLOR'];
  return new Output({ format: output ?? 'table', streams: invocation.streams, colors });
}

/** What Ctrl-C does to a command's client: closed at once, or left to the command, which ends in its own order. */
export type OnInterrupt = 'close' | 'leave';

/** Runs `use` with a connected client, and closes it whatever happens. */
export async function withClient<T>(
  invocation: Invocation,
  command: Command,
  use: (client: HoldfastClient) => Promise<T>,
  onInterrupt: OnInterrupt = 'close',
): Promise<T> {
  const { context, timeout } = command.optsWithGlobals<GlobalOptions>();
  const requestTimeoutMs = timeout === undefined ? undefined : parseDuration(timeout, '--timeout');
  const resolved = resolveContext(invocation.environment, context);
  refuseEnded(resolved);
  const client = await connectTo(resolved, requestTimeoutMs);
  const { interrupted } = invocation;
  const close = (): void => void client.close();
  if (onInterrupt === 'close') interrupted.addEventListener('abort', close);
  try {
    if (interrupted.aborted) throw interruption();
    return await use(client);
  } finally {
    interrupted.removeEventListener('abort', close);
    await client.close();
  }
}

function refuseEnded({ name, user = '', expiresMs }: Context): void {
  if (expiresMs === undefined || systemClock.wallMs() < expiresMs) return;
  const ended = new Date(expiresMs).toISOString();
  throw new HoldfastError('UNAUTHENTICATED', `the session of ${user} in context ${name} ended at ${ended}`, {
    field: 'context',
    hint: 'holdfast login',
  });
}

/** A client of one context. */
export function connectTo(context: Context, requestTimeoutMs?: number): Promise<HoldfastClient> {
  const { endpoints, ca, certificate, privateKey, token } = context;
  return connect({
    endpoints,
    ca,
    token,
    ...(certificate === '' ? {} : { certificate, privateKey }),
    ...(requestTimeoutMs === undefined ? {} : { requestTimeoutMs }),
  });
}

/** What a command throws that Ctrl-C or SIGTERM has ended. */
export function interruption(): HoldfastError {
  return new HoldfastError('CANCELLED', 'interrupted');
}
