import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { writeFileDurably } from '../base/durableFile.ts';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';

/** How to reach one cluster as somebody. */
export interface Context {
  readonly name: string;
  readonly endpoints: readonly string[];
  /** PEM. */
  readonly ca: string;
  /** PEM, with `privateKey`; both empty: who is asked for shows a token. */
  readonly certificate: string;
  readonly privateKey: string;
  /** An access token, which is never in the file, or a session: counts rather than the certificate. */
  readonly token?: string;
  /** Who has logged in last. */
  readonly user?: string;
  /** Of the session in the file, on the wall clock. */
  readonly expiresMs?: number;
}

interface ContextFile {
  readonly schema: 1;
  readonly current: string;
  readonly contexts: readonly Context[];
}

/** The contexts' file: HOLDFAST_CONFIG, or ~/.config/holdfast/config.json. */
export function contextPath(environment: NodeJS.ProcessEnv): string {
  return environment['HOLDFAST_CONFIG'] ?? join(homedir(), '.config', 'holdfast', 'config.json');
}

/**
 * The context in force: environment variables one by one over the named or current context.
 * @throws HoldfastError CONFIG_INVALID when there is none, or its file is readable by others
 */
export function resolveContext(environment: NodeJS.ProcessEnv, name: string | undefined): Context {
  const fromFile = readContext(contextPath(environment), name ?? environment['HOLDFAST_CONTEXT']);
  const endpoints = environment['HOLDFAST_ENDPOINTS']?.split(',') ?? fromFile?.endpoints;
  const ca = pemFile(environment['HOLDFAST_CA'], 'HOLDFAST_CA') ?? fromFile?.ca;
  const certificate = pemFile(environment['HOLDFAST_CERT'], 'HOLDFAST_CERT') ?? fromFile?.certificate;
  const privateKey = pemFile(environment['HOLDFAST_KEY'], 'HOLDFAST_KEY') ?? fromFile?.privateKey;
  const given = environment['HOLDFAST_TOKEN']?.trim();
  const token = given ?? fromFile?.token;
  const isSomebody = token !== undefined || (Boolean(certificate) && Boolean(privateKey));
  if (fromFile?.user !== undefined && !isSomebody) throw loggedOut(fromFile.name);
  if (endpoints === undefined || ca === undefined || !isSomebody) {
    throw new HoldfastError(
      'CONFIG_INVALID',
      `no client context: ${contextPath(environment)} does not exist`,
      {
        field: 'HOLDFAST_CONFIG',
        hint: 'log in with holdfast login, or name the context file that holdfast init or holdfast dev wrote, e.g. export HOLDFAST_CONFIG=.holdfast/context.json',
      },
    );
  }
  return {
    name: fromFile?.name ?? 'environment',
    endpoints,
    ca,
    certificate: certificate ?? '',
    privateKey: privateKey ?? '',
    ...(token === undefined ? {} : { token }),
    ...(given === undefined ? sessionOf(fromFile) : {}),
  };
}

function sessionOf(context: Context | undefined): Pick<Context, 'user' | 'expiresMs'> {
  const { user, expiresMs } = context ?? {};
  return { ...(user === undefined ? {} : { user }), ...(expiresMs === undefined ? {} : { expiresMs }) };
}

function loggedOut(name: string): HoldfastError {
  return new HoldfastError('UNAUTHENTICATED', `nobody is logged in with context ${name}`, {
    field: 'context',
    hint: 'holdfast login',
  });
}

function pemFile(path: string | undefined, variable: string): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new HoldfastError('FILE_UNREADABLE', `${variable}: ${path} cannot be read`, {
      field: variable,
      hint: 'name a PEM file that this user can read',
      cause,
    });
  }
}

function readContext(path: string, name: string | undefined): Context | undefined {
  const file = readContextFile(path);
  if (file === null) {
    if (name === undefined) return undefined;
    throw new HoldfastError('CONFIG_INVALID', `no context ${name}: ${path} does not exist`, {
      field: 'context',
      hint: 'name the context file that has it in HOLDFAST_CONFIG',
    });
  }
  const wanted = name ?? file.current;
  const context = file.contexts.find((one) => one.name === wanted);
  if (context !== undefined) return context;
  const known = file.contexts.map((one) => one.name).join(', ');
  throw new HoldfastError('CONFIG_INVALID', `no context ${wanted} in ${path}`, {
    field: 'context',
    hint: `known: ${known}`,
  });
}

/** All contexts of a file; null when it does not exist. */
export function readContextFile(path: string): ContextFile | null {
  let text: string;
  try {
    const { mode } = statSync(path);
    if ((mode & 0o077) !== 0) {
      throw new HoldfastError('KEY_FILE_INVALID', `${path} holds a private key and can be read by others`, {
        field: 'HOLDFAST_CONFIG',
        hint: `Run: chmod 0600 '${path}'`,
      });
    }
    text = readFileSync(path, 'utf8');
  } catch (thrown) {
    if (thrown instanceof HoldfastError) throw thrown;
    if (systemErrorCode(thrown) === 'ENOENT') return null;
    throw new HoldfastError('FILE_UNREADABLE', `${path} cannot be read`, {
      field: 'HOLDFAST_CONFIG',
      hint: 'name a file that this user can read; it need not exist yet for holdfast init',
      cause: thrown,
    });
  }
  return parseContextFile(text, path);
}

function parseContextFile(text: string, path: string): ContextFile {
  try {
    const parsed = JSON.parse(text) as Partial<ContextFile>;
    if (
      parsed.schema === 1 &&
      typeof parsed.current === 'string' &&
      (parsed.contexts ?? []).every(isContext)
    ) {
      return { schema: 1, current: parsed.current, contexts: parsed.contexts ?? [] };
    }
  } catch (cause) {
    throw notContexts(path, cause);
  }
  throw notContexts(path);
}

function notContexts(path: string, cause?: unknown): HoldfastError {
  return new HoldfastError('CONFIG_INVALID', `${path} is not a context file`, {
    field: 'HOLDFAST_CONFIG',
    hint: 'name the file that holdfast init or holdfast dev wrote, or restore it from a copy',
    cause,
  });
}

function isContext(value: unknown): value is Context {
  if (typeof value !== 'object' || value === null) return false;
  const context = value as Record<string, unknown>;
  return (
    ['name', 'ca', 'certificate', 'privateKey'].every((field) => typeof context[field] === 'string') &&
    Array.isArray(context['endpoints']) &&
    context['endpoints'].every((endpoint) => typeof endpoint === 'string') &&
    ['string', 'undefined'].includes(typeof context['token']) &&
    ['string', 'undefined'].includes(typeof context['user']) &&
    ['number', 'undefined'].includes(typeof context['expiresMs'])
  );
}

/** Adds or replaces a context, makes it the current one, and writes the file with mode 0600. */
export async function saveContext(path: string, context: Context): Promise<void> {
  const others = readContextFile(path)?.contexts.filter((one) => one.name !== context.name) ?? [];
  const file: ContextFile = { schema: 1, current: context.name, contexts: [...others, context] };
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  await writeContexts(path, file);
}

/** Changes a context that is in the file; the current one stays the current one. @throws HoldfastError CONFIG_INVALID */
export async function replaceContext(path: string, context: Context): Promise<void> {
  const file = readContextFile(path);
  if (file === null || !file.contexts.some(({ name }) => name === context.name)) {
    throw new HoldfastError('CONFIG_INVALID', `no context ${context.name} in ${path}`, { field: 'context' });
  }
  const contexts = file.contexts.map((one) => (one.name === context.name ? context : one));
  await writeContexts(path, { ...file, contexts });
}

async function writeContexts(path: string, file: ContextFile): Promise<void> {
  await writeFileDurably({ path, bytes: Buffer.from(`${JSON.stringify(file, null, 2)}\n`), mode: 0o600 });
}

/** The same context with nobody logged in. */
export function withoutSession({ token: _token, expiresMs: _expiresMs, ...context }: Context): Context {
  return context;
}

/** Makes another context of the file the current one. @throws HoldfastError CONFIG_INVALID when it is unknown */
export async function useContext(path: string, name: string): Promise<void> {
  const context = readContext(path, name);
  if (context !== undefined) await saveContext(path, context);
}
