/** Where audit records are streamed to, as the setting says it. */
import { isAbsolute, normalize } from 'node:path';
import { splitAddress } from '../../base/address.ts';
import { HoldfastError } from '../../base/errors.ts';

export type SinkDestination = FileDestination | HttpDestination | SyslogDestination;

export interface FileDestination {
  readonly kind: 'file';
  /** Absolute. */
  readonly path: string;
}

export interface HttpDestination {
  readonly kind: 'http';
  /** Begins with http:// or https://. Its path and query may be nobody's business. */
  readonly url: string;
}

export interface SyslogDestination {
  readonly kind: 'syslog';
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

export const SINK_FORM =
  'write file:/PATH, https://HOST/PATH, http://HOST/PATH, syslog://HOST:PORT, syslog+tls://HOST:PORT, or none';

/** Null: none. @throws HoldfastError CONFIG_INVALID without the field, and without the text: it may hold a secret */
export function parseSinkDestination(text: string): SinkDestination | null {
  if (text === 'none') return null;
  const [, scheme = '', rest = ''] = /^([a-z+]+):(.*)$/s.exec(text) ?? [];
  if (scheme === 'file') return fileDestination(rest);
  if (scheme === 'http' || scheme === 'https') return httpDestination(text);
  if (scheme === 'syslog' || scheme === 'syslog+tls') return syslogDestination(rest, scheme === 'syslog+tls');
  return refuse('is no destination of audit records', SINK_FORM);
}

/** What may be shown of it: no path, no query. Empty for a file. */
export function shownHost(destination: SinkDestination): string {
  if (destination.kind === 'file') return '';
  if (destination.kind === 'http') return new URL(destination.url).host;
  const { host, port } = destination;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The whole of it, so that another destination is known from this one. Not to be shown. */
export function destinationText(destination: SinkDestination): string {
  if (destination.kind === 'file') return `file:${destination.path}`;
  if (destination.kind === 'http') return destination.url;
  return `${destination.tls ? 'syslog+tls' : 'syslog'}://${shownHost(destination)}`;
}

function fileDestination(written: string): FileDestination {
  // file:/PATH and file:///PATH are the same.
  const path = written.replace(/^\/\/(?=\/)/, '');
  const isPrintable = Array.from(path).every((character) => character >= ' ');
  const isPath = isAbsolute(path) && !path.startsWith('//') && !path.endsWith('/') && isPrintable;
  if (!isPath)
    return refuse('must name a file by its absolute path', 'for example file:/var/log/holdfast/audit.jsonl');
  return { kind: 'file', path: normalize(path) };
}

function httpDestination(text: string): HttpDestination {
  const url = URL.canParse(text) && /^https?:\/\//.test(text) ? new URL(text) : null;
  if (url === null) return refuse('is no URL', SINK_FORM);
  refuseCredentials(url.username !== '' || url.password !== '');
  if (url.hash !== '') return refuse('must have nothing behind a #', 'leave it out: it is never sent');
  return { kind: 'http', url: url.href };
}

function syslogDestination(written: string, tls: boolean): SyslogDestination {
  refuseCredentials(written.includes('@'));
  const address = written.startsWith('//') ? splitAddress(written.slice(2)) : null;
  if (address === null)
    return refuse('must name a host and a port', 'for example syslog+tls://logs.internal:6514');
  return { kind: 'syslog', ...address, tls };
}

function refuseCredentials(present: boolean): void {
  if (present)
    refuse(
      'must hold no user and no password: settings are shown',
      'put a secret into a file and name it with audit-sink-secret-path; holdfast signs with it',
    );
}

function refuse(message: string, hint: string): never {
  throw new HoldfastError('CONFIG_INVALID', message, { hint });
}
