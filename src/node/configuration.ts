import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import type { SinkDestination } from '../audit/sink/destination.ts';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';
import {
  type Address,
  environmentName,
  fileName,
  isWildcard,
  SETTINGS,
  type SettingName,
} from './settings.ts';

type Parsed<Name extends SettingName> = ReturnType<(typeof SETTINGS)[Name]['parse']>;

/** The settings of a node, checked. */
export interface NodeConfiguration {
  readonly dataDir: string;
  readonly name: string;
  readonly controlKeyPath: string;
  readonly jwtSecretPath: string;
  readonly listenApi: Address;
  readonly listenPeer: Address;
  readonly advertiseApi: Address;
  readonly advertisePeer: Address;
  readonly tlsSan: readonly string[];
  /** null: what the cluster says. */
  readonly encryption: 'on' | 'off' | null;
  readonly requestTimeoutMs: number;
  readonly diskReserveBytes: number;
  readonly scrubIntervalMs: number;
  /** null: audit records go nowhere. */
  readonly auditSink: SinkDestination | null;
  readonly auditSinkSecretPath: string | null;
  readonly auditSinkRotateBytes: number;
  readonly logLevel: string;
  /** Key material given in the environment, raw; empty strings are refused earlier. */
  readonly keyEnvironment: ReadonlyMap<string, string>;
}

export interface ConfigurationSources {
  /** Flags by setting name, as typed. */
  readonly flags: ReadonlyMap<string, string>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** A YAML file, or null. */
  readonly file: string | null;
}

/** Environment variables that are no node settings but belong to holdfast. */
const OTHER_VARIABLES = new Set([
  'HOLDFAST_CONFIG',
  'HOLDFAST_CONFIG_FILE',
  'HOLDFAST_ENDPOINTS',
  'HOLDFAST_CA',
  'HOLDFAST_CERT',
  'HOLDFAST_KEY',
  'HOLDFAST_TOKEN',
  'HOLDFAST_PASSWORD',
  'HOLDFAST_CONTEXT',
]);

const KEY_VARIABLES = [
  'HOLDFAST_CONTROL_KEY',
  'HOLDFAST_LEGACY_CONTROL_KEYS',
  'HOLDFAST_JWT_SECRET',
] as const;

const NAMES = Object.keys(SETTINGS) as SettingName[];

/**
 * Settings from flag > environment > file > default.
 * @throws HoldfastError CONFIG_INVALID naming the source and the setting; unknown names with the nearest known one
 */
export function loadConfiguration(sources: ConfigurationSources): NodeConfiguration {
  refuseUnknownFlags(sources.flags);
  refuseUnknownVariables(sources.environment);
  const file = readSettingsFile(sources.file);
  const settings = new Settings(sources, file);
  const listenApi = settings.required('listenApi');
  const listenPeer = settings.required('listenPeer');
  const configuration: NodeConfiguration = {
    dataDir: settings.required('dataDir'),
    name: settings.required('name'),
    controlKeyPath: settings.required('controlKeyPath'),
    jwtSecretPath: settings.required('jwtSecretPath'),
    listenApi,
    listenPeer,
    advertiseApi: settings.optional('advertiseApi') ?? dialled(listenApi, 'advertise-api'),
    advertisePeer: settings.optional('advertisePeer') ?? dialled(listenPeer, 'advertise-peer'),
    tlsSan: settings.optional('tlsSan') ?? [],
    encryption: settings.optional('encryption'),
    requestTimeoutMs: settings.required('requestTimeout'),
    diskReserveBytes: settings.required('diskReserve'),
    scrubIntervalMs: settings.required('scrubInterval'),
    auditSink: settings.optional('auditSink'),
    auditSinkSecretPath: settings.optional('auditSinkSecretPath'),
    auditSinkRotateBytes: settings.required('auditSinkRotate'),
    logLevel: settings.required('logLevel'),
    keyEnvironment: keyEnvironment(sources.environment),
  };
  settings.required('tls');
  refuseSameAddress(configuration, 'listenApi', 'listenPeer');
  refuseSameAddress(configuration, 'advertiseApi', 'advertisePeer');
  refuseUnusedSecret(configuration);
  return configuration;
}

function refuseUnusedSecret({ auditSink, auditSinkSecretPath }: NodeConfiguration): void {
  if (auditSinkSecretPath === null || auditSink?.kind === 'http') return;
  throw new HoldfastError('CONFIG_INVALID', 'audit-sink-secret-path is for an audit-sink over HTTP', {
    field: 'audit-sink-secret-path',
    hint: 'leave it out, or set audit-sink to https://HOST/PATH',
  });
}

type AddressSetting = 'listenApi' | 'listenPeer' | 'advertiseApi' | 'advertisePeer';

function refuseSameAddress(
  configuration: NodeConfiguration,
  one: AddressSetting,
  other: AddressSetting,
): void {
  const [left, right] = [configuration[one], configuration[other]];
  const overlap = left.host === right.host || isWildcard(left) || isWildcard(right);
  if (left.port !== right.port || !overlap) return;
  const field = SETTINGS[other].flag;
  throw new HoldfastError('CONFIG_INVALID', `${SETTINGS[one].flag} and ${field} are the same address`, {
    field,
    hint: 'give each its own port',
  });
}

function dialled(listen: Address, flag: string): Address {
  if (!isWildcard(listen)) return listen;
  throw new HoldfastError('CONFIG_INVALID', `${flag} is needed when the node listens on every interface`, {
    field: flag,
    hint: `set ${flag} to the host and port by which others reach this node`,
  });
}

class Settings {
  readonly #sources: ConfigurationSources;
  readonly #file: ReadonlyMap<string, string>;

  constructor(sources: ConfigurationSources, file: ReadonlyMap<string, string>) {
    this.#sources = sources;
    this.#file = file;
  }

  required<Name extends SettingName>(name: Name): Parsed<Name> {
    const value = this.optional(name);
    if (value === null) {
      throw new HoldfastError('CONFIG_INVALID', `${SETTINGS[name].flag} is missing`, {
        field: SETTINGS[name].flag,
        hint: `give --${SETTINGS[name].flag}, ${environmentName(name)}, or ${fileName(name)} in the configuration file`,
      });
    }
    return value;
  }

  optional<Name extends SettingName>(name: Name): Parsed<Name> | null {
    const { flag, fallback, parse } = SETTINGS[name];
    const variable = environmentName(flag);
    const found = [
      { source: `--${flag}`, value: this.#sources.flags.get(name) },
      { source: variable, value: this.#sources.environment[variable] },
      { source: `${fileName(flag)} in ${this.#sources.file}`, value: this.#file.get(fileName(flag)) },
      { source: flag, value: fallback ?? undefined },
    ].find(({ value }) => value !== undefined);
    if (found?.value === undefined) return null;
    try {
      return parse(found.value) as Parsed<Name>;
    } catch (thrown) {
      if (!(thrown instanceof HoldfastError)) throw thrown;
      throw new HoldfastError('CONFIG_INVALID', `${found.source}: ${thrown.message}`, {
        field: flag,
        ...(thrown.hint === undefined ? {} : { hint: thrown.hint }),
      });
    }
  }
}

function keyEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const name of KEY_VARIABLES) {
    const value = environment[name];
    if (value !== undefined) found.set(name, value);
  }
  return found;
}

function refuseUnknownFlags(flags: ReadonlyMap<string, string>): void {
  for (const name of flags.keys()) {
    if (!Object.hasOwn(SETTINGS, name)) throw unknownName('setting', name, NAMES);
  }
}

function refuseUnknownVariables(environment: Readonly<Record<string, string | undefined>>): void {
  const known = [
    ...NAMES.map((name) => environmentName(SETTINGS[name].flag)),
    ...KEY_VARIABLES,
    ...OTHER_VARIABLES,
  ];
  for (const name of Object.keys(environment)) {
    if (name.startsWith('HOLDFAST_') && !known.includes(name))
      throw unknownName('environment variable', name, known);
  }
}

function readSettingsFile(file: string | null): ReadonlyMap<string, string> {
  const settings = new Map<string, string>();
  if (file === null) return settings;
  const known = NAMES.map((name) => fileName(SETTINGS[name].flag));
  for (const [key, value] of Object.entries(parseSettingsFile(file))) {
    if (!known.includes(key)) throw unknownName('setting', key, known, ` in ${file}`);
    settings.set(key, settingText(key, value, file));
  }
  return settings;
}

function settingText(key: string, value: unknown, file: string): string {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(',');
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  // YAML 1.2 reads a bare on/off as text and true/false as a boolean: only the former is a setting's value.
  throw new HoldfastError('CONFIG_INVALID', `${key} in ${file} must be a text`, {
    field: key,
    hint: 'write it in quotes',
  });
}

function parseSettingsFile(file: string): object {
  let parsed: unknown;
  try {
    parsed = parseYaml(readFileSync(file, 'utf8'), { version: '1.2', uniqueKeys: true, maxAliasCount: 0 });
  } catch (cause) {
    const missing = systemErrorCode(cause) === 'ENOENT';
    const reason = missing
      ? 'does not exist'
      : `cannot be read: ${cause instanceof Error ? cause.message.split('\n')[0] : ''}`;
    throw new HoldfastError('CONFIG_INVALID', `the configuration file ${file} ${reason}`, {
      field: 'config',
      hint: 'name a YAML file that this user can read, or mend what is said above',
      cause,
    });
  }
  if (parsed === null) return {};
  if (typeof parsed !== 'object' || Array.isArray(parsed)) {
    throw new HoldfastError(
      'CONFIG_INVALID',
      `the configuration file ${file} must hold "name: value" lines`,
      {
        field: 'config',
        hint: 'for example: data_dir: /var/lib/holdfast',
      },
    );
  }
  return parsed;
}

function unknownName(kind: string, name: string, known: readonly string[], where = ''): HoldfastError {
  return new HoldfastError('CONFIG_INVALID', `unknown ${kind} ${name}${where}`, {
    field: name,
    hint: `did you mean ${nearest(name, known)}?`,
  });
}

/** The known name with the smallest edit distance (Levenshtein). */
export function nearest(name: string, known: readonly string[]): string {
  let best = known[0] ?? '';
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let i = 1; i <= from.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const substituted = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
