import { isIP, isIPv6 } from 'node:net';
import { HoldfastError } from './errors.ts';
import { LIMITS } from './limits.ts';

/** Where a port is dialled. */
export interface HostAndPort {
  /** A host name or an IP address, without brackets. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

const ADDRESS_PATTERN = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):([1-9][0-9]{0,4})$/;
const LABEL_PATTERN = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;

/** Whether this is written as a DNS name (RFC 1123, and the underscore that container names have). No wildcards. */
export function isHostName(text: string): boolean {
  const labels = text.split('.');
  const last = labels.at(-1) ?? '';
  return text.length <= 253 && labels.every((label) => LABEL_PATTERN.test(label)) && !/^[0-9]+$/.test(last);
}

/** `host:port`, `1.2.3.4:port` or `[::1]:port`, or null. */
export function splitAddress(text: string): HostAndPort | null {
  if (text.length > LIMITS.addressBytesMax) return null;
  const [, ipv6, name, portText] = ADDRESS_PATTERN.exec(text) ?? [];
  const port = Number(portText);
  if (portText === undefined || port > 65_535) return null;
  if (ipv6 !== undefined) return isIPv6(ipv6) ? { host: ipv6, port } : null;
  if (name === undefined || !(isIP(name) === 4 || isHostName(name))) return null;
  return { host: name, port };
}

/** @throws HoldfastError INVALID_ARGUMENT naming `field` */
export function parseAddress(text: string, field: string): HostAndPort {
  const address = splitAddress(text);
  if (address !== null) return address;
  throw new HoldfastError('INVALID_ARGUMENT', `${field} must be host:port`, {
    field,
    hint: 'Write a host name, an IPv4 address or an IPv6 address in brackets, a colon and a port.',
  });
}

/** The host of an address as connections have it: each of them has a port of its own. */
export function hostOf(address: string): string {
  return address.slice(0, Math.max(address.lastIndexOf(':'), 0));
}
