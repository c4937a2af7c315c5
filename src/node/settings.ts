import { parseSinkDestination } from '../audit/sink/destination.ts';
import { splitAddress } from '../base/address.ts';
import { DURATION_FORM, parseDurationMs } from '../base/duration.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { formatByteSize, parseByteSize, SIZE_FORM } from './byteSize.ts';

/** How a setting's text becomes its value. `parse` throws a HoldfastError CONFIG_INVALID without the field. */
export interface SettingKind<T> {
  /** Shown in help: what the text looks like. */
  readonly placeholder: string;
  readonly parse: (text: string) => T;
}

export interface Setting<T> extends SettingKind<T> {
  /** As a flag `--data-dir`, in a file `data_dir`, in the environment `HOLDFAST_DATA_DIR`. */
  readonly flag: string;
  readonly description: string;
  readonly fallback: string | null;
}

function refuse(message: string, hint: string): never {
  throw new HoldfastError('CONFIG_INVALID', message, { hint });
}

const text: SettingKind<string> = {
  placeholder: 'TEXT',
  parse: (value) =>
    value === '' ? refuse('must not be empty', 'leave the setting out to get its default') : value,
};

const path: SettingKind<string> = { ...text, placeholder: 'PATH' };

const memberName: SettingKind<string> = {
  placeholder: 'NAME',
  parse: (value) =>
    /^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$/.test(value)
      ? value
      : refuse('must be 1 to 64 lower-case letters, digits, dots and hyphens', 'for example n1'),
};

/** A host and a port; an IPv6 host stands in brackets. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `host:port` as it is dialled and shown. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** @throws HoldfastError CONFIG_INVALID */
export function parseAddress(value: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]+)):([0-9]{1,5})$/.exec(value);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  const isListened = isWildcard({ host, port }) && port >= 1 && port <= 65_535;
  if (match === null || (!isListened && splitAddress(formatAddress({ host, port })) === null)) {
    return refuse(
      `must be host:port with a port from 1 to 65535`,
      'for example 127.0.0.1:7440 or [::1]:7440',
    );
  }
  return { host, port };
}

const address: SettingKind<Address> = { placeholder: 'HOST:PORT', parse: parseAddress };

/** 0.0.0.0, ::, and the other ways to write either. */
const WILDCARD_HOST = /^(\*|[0:.]+)$/;

/** Whether a host means "every interface", which no one can dial. */
export function isWildcard({ host }: Address): boolean {
  return WILDCARD_HOST.test(host);
}

const dialledAddress: SettingKind<Address> = {
  placeholder: 'HOST:PORT',
  parse: (value) => {
    const parsed = parseAddress(value);
    return isWildcard(parsed)
      ? refuse(
          `${value} cannot be dialled by others`,
          'name the host or address by which other machines reach this node',
        )
      : parsed;
  },
};

function choice<T extends string>(options: readonly T[]): SettingKind<T> {
  return {
    placeholder: options.join('|'),
    parse: (value) =>
      options.find((option) => option === value) ??
      refuse(`must be one of ${options.join(', ')}`, 'spell it as shown'),
  };
}

const hostList: SettingKind<readonly string[]> = {
  placeholder: 'HOST,…',
  parse: (value) => {
    const hosts = value.split(',').map((host) => host.trim());
    return hosts.every((host) => /^[A-Za-z0-9.:-]{1,253}$/.test(host)) &&
      hosts.length <= LIMITS.certificateNamesAddedMax
      ? hosts
      : refuse(
          `must be at most ${LIMITS.certificateNamesAddedMax} host names or addresses with commas between`,
          'for example db.internal,10.0.0.5',
        );
  },
};

function duration({ minMs, maxMs }: { minMs: number; maxMs: number }): SettingKind<number> {
  return {
    placeholder: 'DURATION',
    parse: (value) => {
      const parsedMs = parseDurationMs(value);
      if (parsedMs === null) return refuse(`${JSON.stringify(value)} is not a duration`, DURATION_FORM);
      return parsedMs >= minMs && parsedMs <= maxMs
        ? parsedMs
        : refuse(`must be between ${minMs}ms and ${maxMs}ms`, 'choose a duration in that range');
    },
  };
}

function byteSize({ minBytes, maxBytes }: { minBytes: number; maxBytes: number }): SettingKind<number> {
  return {
    placeholder: 'SIZE',
    parse: (value) => {
      const bytes = parseByteSize(value);
      if (bytes === null) return refuse(`${JSON.stringify(value)} is not a size`, SIZE_FORM);
      return bytes >= minBytes && bytes <= maxBytes
        ? bytes
        : refuse(
            `must be between ${formatByteSize(minBytes)} and ${formatByteSize(maxBytes)}`,
            'choose a size in that range',
          );
    },
  };
}

function setting<T>(kind: SettingKind<T>, rest: Omit<Setting<T>, keyof SettingKind<T>>): Setting<T> {
  return { ...kind, ...rest };
}

/** Every setting of a node: the one table that flags, environment, file and help are made from. */
export const SETTINGS = {
  dataDir: setting(path, {
    flag: 'data-dir',
    description: 'where this node keeps its data',
    fallback: './data',
  }),
  name: setting(memberName, { flag: 'name', description: "this node's name", fallback: 'n1' }),
  controlKeyPath: setting(path, {
    flag: 'control-key-path',
    description: 'the control-key file; not under the data directory',
    fallback: './secret-control.json',
  }),
  jwtSecretPath: setting(path, {
    flag: 'jwt-secret-path',
    description: 'the JWT-secret file; not under the data directory',
    fallback: './secret-jwt.json',
  }),
  listenApi: setting(address, {
    flag: 'listen-api',
    description: 'where clients connect',
    fallback: '127.0.0.1:7440',
  }),
  listenPeer: setting(address, {
    flag: 'listen-peer',
    description: 'where other nodes connect',
    fallback: '127.0.0.1:7441',
  }),
  advertiseApi: setting(dialledAddress, {
    flag: 'advertise-api',
    description: 'how clients reach this node; default: as it listens',
    fallback: null,
  }),
  advertisePeer: setting(dialledAddress, {
    flag: 'advertise-peer',
    description: 'how other nodes reach this node; default: as it listens',
    fallback: null,
  }),
  tlsSan: setting(hostList, {
    flag: 'tls-san',
    description: "further names for this node's certificate",
    fallback: null,
  }),
  tls: setting(choice(['on'] as const), { flag: 'tls', description: 'TLS; there is no off', fallback: 'on' }),
  encryption: setting(choice(['on', 'off'] as const), {
    flag: 'encryption',
    description: 'encryption of what is stored and sent; default: what the cluster says',
    fallback: null,
  }),
  requestTimeout: setting(duration({ minMs: 100, maxMs: LIMITS.requestTimeoutMsMax }), {
    flag: 'request-timeout',
    description: 'how long a request without a deadline of its own may take',
    fallback: `${LIMITS.requestTimeoutMs / 1_000}s`,
  }),
  diskReserve: setting(
    byteSize({ minBytes: LIMITS.diskReserveBytesMin, maxBytes: LIMITS.diskReserveBytesMax }),
    {
      flag: 'disk-reserve',
      description: 'free space of the data directory below which writes are turned away',
      fallback: formatByteSize(LIMITS.diskReserveBytes),
    },
  ),
  scrubInterval: setting(duration({ minMs: LIMITS.scrubIntervalMsMin, maxMs: LIMITS.scrubIntervalMsMax }), {
    flag: 'scrub-interval',
    description: 'how often all that is on disk is read again and verified',
    fallback: `${LIMITS.scrubIntervalMs / 3_600_000}h`,
  }),
  auditSink: setting(
    { placeholder: 'DESTINATION', parse: parseSinkDestination },
    {
      flag: 'audit-sink',
      description:
        'where audit records go: file:/PATH, https://HOST/PATH, syslog://HOST:PORT, syslog+tls://HOST:PORT',
      fallback: 'none',
    },
  ),
  auditSinkSecretPath: setting(path, {
    flag: 'audit-sink-secret-path',
    description: 'a file with the key by which what goes to https:// is signed; not under the data directory',
    fallback: null,
  }),
  auditSinkRotate: setting(
    byteSize({ minBytes: LIMITS.auditSinkRotateBytesMin, maxBytes: LIMITS.auditSinkRotateBytesMax }),
    {
      flag: 'audit-sink-rotate',
      description: 'the size from which on another file of audit records is begun',
      fallback: formatByteSize(LIMITS.auditSinkRotateBytes),
    },
  ),
  logLevel: setting(choice(['debug', 'info', 'warn', 'error', 'silent'] as const), {
    flag: 'log-level',
    description: 'what is logged to standard error',
    fallback: 'info',
  }),
} as const;

export type SettingName = keyof typeof SETTINGS;

/** `data-dir` -> `HOLDFAST_DATA_DIR`. */
export function environmentName(flag: string): string {
  return `HOLDFAST_${flag.replaceAll('-', '_').toUpperCase()}`;
}

/** `data-dir` -> `data_dir`. */
export function fileName(flag: string): string {
  return flag.replaceAll('-', '_');
}
