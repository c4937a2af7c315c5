import type { Command } from 'commander';
import { splitAddress } from '../../base/address.ts';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { HoldfastClient, type LoginResponse, presentedAuthority } from '../../client/index.ts';
import { parseFingerprint } from '../arguments.ts';
import {
  type Context,
  contextPath,
  readContextFile,
  replaceContext,
  resolveContext,
  saveContext,
  withoutSession,
} from '../context.ts';
import { type Invocation, outputOf, withClient } from '../invocation.ts';
import { timeText } from '../value.ts';
import { passwordFrom } from './passwordInput.ts';
import { ask, isTerminal } from './prompt.ts';

interface LoginOptions {
  readonly caFingerprint?: string;
  readonly user?: string;
  readonly passwordFile?: string;
  readonly contextName?: string;
}

/** `holdfast login|logout` */
export function addLoginCommands(program: Command, invocation: Invocation): void {
  program
    .command('login')
    .description('begin a session as a user, and keep it in a context')
    .argument('[url]', 'the API of a node, as https://host:7440; default: that of the context')
    .option('--ca-fingerprint <sha256:…>', "of the cluster's CA, as holdfast init has shown it")
    .option('--user <name>', 'default: who has logged in last with this context')
    .option('--password-file <path>', 'read the password from a file; - for standard input')
    .option('--context-name <name>', 'where the session is kept; default: USER@HOST:PORT')
    .action(async (url: string | undefined, options: LoginOptions, command: Command) => {
      await login({ url, options, command, invocation });
    });
  program
    .command('logout')
    .description('end the session of the context, on every node')
    .action(async (_options: unknown, command: Command) => {
      await logout(invocation, command);
    });
}

interface LoginInput {
  readonly url: string | undefined;
  readonly options: LoginOptions;
  readonly command: Command;
  readonly invocation: Invocation;
}

async function login({ url, options, command, invocation }: LoginInput): Promise<void> {
  const known = knownContext(url, { command, invocation });
  const endpoints = url === undefined ? (known?.endpoints ?? []) : [endpointOf(url)];
  const [endpoint] = endpoints;
  if (endpoint === undefined) {
    throw new HoldfastError('USAGE', 'there is no context yet: say where to log in', {
      field: 'url',
      hint: 'holdfast login https://HOST:7440 --ca-fingerprint sha256:…',
    });
  }
  const ca = await authorityOf(endpoint, { known, options, invocation });
  const user = options.user ?? known?.user ?? (await askedUser(invocation));
  const name = options.contextName ?? (isSession(known) ? known.name : `${user}@${endpoint}`);
  const path = contextPath(invocation.environment);
  refuseCertified(path, name);
  const password = await loginPassword(user, { options, invocation });
  const { token, expiresMs } = await newSession({ endpoints, ca }, { name: user, password });
  await saveContext(path, { name, endpoints, ca, certificate: '', privateKey: '', token, user, expiresMs });
  const expires = timeText(expiresMs);
  outputOf(invocation, command).result({ user, context: name, expires }, [
    `${user} is logged in until ${expires}, in context ${name}`,
  ]);
}

/** What is given to this command counts before the environment, where an empty variable is as none. */
async function loginPassword(
  user: string,
  { options: { passwordFile }, invocation }: Pick<LoginInput, 'options' | 'invocation'>,
): Promise<string> {
  const { HOLDFAST_PASSWORD: given = '' } = invocation.environment;
  if (passwordFile === undefined && given !== '') return given;
  return passwordFrom(passwordFile, { invocation, question: `password of ${user}: ` });
}

/** By who is nobody yet. */
async function newSession(
  cluster: Pick<Context, 'endpoints' | 'ca'>,
  user: { readonly name: string; readonly password: string },
): Promise<LoginResponse> {
  const client = new HoldfastClient(cluster);
  try {
    return await client.access.login(user);
  } finally {
    await client.close();
  }
}

/** The context that is asked for, or is of this node. */
function knownContext(
  url: string | undefined,
  { command, invocation }: Pick<LoginInput, 'command' | 'invocation'>,
): Context | undefined {
  const { environment } = invocation;
  const file = readContextFile(contextPath(environment));
  const contexts = file?.contexts ?? [];
  const asked = command.optsWithGlobals<{ context?: string }>().context ?? environment['HOLDFAST_CONTEXT'];
  const current = contexts.find(({ name }) => name === (asked ?? file?.current));
  if (url === undefined) return current;
  const endpoint = endpointOf(url);
  const ofNode = contexts.filter(({ endpoints }) => endpoints.includes(endpoint));
  return ofNode.find((one) => one === current) ?? ofNode.find(isSession) ?? ofNode[0];
}

const isSession = (context: Context | undefined): context is Context => context?.certificate === '';

/** PEM: the CA of this fingerprint, the one that the context knows, or one that a person agrees to. */
async function authorityOf(
  address: string,
  {
    known,
    options,
    invocation,
  }: { readonly known: Context | undefined } & Pick<LoginInput, 'options' | 'invocation'>,
): Promise<string> {
  const caFingerprint =
    options.caFingerprint === undefined ? null : parseFingerprint(options.caFingerprint, 'ca-fingerprint');
  if (caFingerprint === null && known !== undefined) return known.ca;
  if (caFingerprint === null && !isTerminal(invocation)) {
    throw new HoldfastError('USAGE', `the CA of ${address} is not known here`, {
      field: 'ca-fingerprint',
      hint: 'add --ca-fingerprint sha256:…, as holdfast init or holdfast cluster rotate-ca --status shows it',
    });
  }
  const timeoutMs = LIMITS.requestTimeoutMs;
  const { pem, fingerprint } = await presentedAuthority({ address, fingerprint: caFingerprint, timeoutMs });
  if (caFingerprint !== null) return pem;
  const question = `The CA presented by ${address} is not known here. Its fingerprint is\n  ${fingerprint}\nIs that the one that holdfast init has shown? (yes/no) `;
  if ((await ask(invocation, question)).toString().trim() === 'yes') return pem;
  throw new HoldfastError('CERTIFICATE_INVALID', `the CA of ${address} was not agreed to`, {
    hint: 'ask who runs the cluster for its fingerprint',
  });
}

async function askedUser(invocation: Invocation): Promise<string> {
  if (isTerminal(invocation)) return (await ask(invocation, 'user: ')).toString().trim();
  throw new HoldfastError('USAGE', 'say who logs in', { field: 'user', hint: 'add --user NAME' });
}

/** A private key that is nowhere else is not overwritten by a session. */
function refuseCertified(path: string, name: string): void {
  const context = readContextFile(path)?.contexts.find((one) => one.name === name);
  if (context === undefined || isSession(context)) return;
  throw new HoldfastError('CONFIG_INVALID', `context ${name} holds a client certificate`, {
    field: 'context-name',
    hint: 'keep the session in another one: --context-name NAME',
  });
}

function endpointOf(url: string): string {
  const address = url.replace(/^https:\/\//, '').replace(/\/$/, '');
  if (splitAddress(address) !== null) return address;
  throw new HoldfastError('USAGE', 'the URL is not https://host:port', {
    field: 'url',
    hint: 'name the API port of a node, as https://n1.example:7440',
  });
}

async function logout(invocation: Invocation, command: Command): Promise<void> {
  const { environment } = invocation;
  const { context: asked } = command.optsWithGlobals<{ context?: string }>();
  const { name } = resolveContext(environment, asked);
  try {
    await withClient(invocation, command, ({ access }) => access.logout());
  } catch (thrown) {
    // It is over already.
    if (!(thrown instanceof HoldfastError) || thrown.code !== 'UNAUTHENTICATED') throw thrown;
  }
  await forgetSession(environment, name);
  outputOf(invocation, command).result({ context: name }, [
    `nobody is logged in with context ${name} any more`,
  ]);
}

/** Takes the session out of a context of the file; of the environment none is. */
export async function forgetSession(environment: NodeJS.ProcessEnv, name: string): Promise<void> {
  const path = contextPath(environment);
  const kept = readContextFile(path)?.contexts.find((one) => one.name === name);
  if (kept?.token !== undefined) await replaceContext(path, withoutSession(kept));
}
