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

/**
 * Who counts as one where many addresses are easily had: of host:port, as it is written or as a socket has it, the host; of IPv6 its
 * /64, which one customer usually has for himself (RFC 6177). What is no address is a group of its own.
 */
export function addressGroup(address: string): string {
  const host = hostWithin(address.slice(0, LIMITS.addressBytesMax));
  if (!isIPv6(host)) return host;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host);
  if (mapped?.[1] !== undefined) return mapped[1];
  const [front = '', back] = host.split('::');
  const groups = front === '' ? [] : front.split(':');
  // Fewer than four before `::`: zeros follow, or, where it stands for few, what comes behind.
  const behind = back === undefined || back === '' ? [] : back.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - behind.length) }, () => '0');
  const all = back === undefined ? groups : [...groups, ...zeros, ...behind];
  const network = all.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(':')}::/64`;
}

/** Sockets put no brackets around IPv6. */
function hostWithin(address: string): string {
  const split = splitAddress(address);
  if (split !== null) return split.host;
  const host = hostOf(address);
  return isIPv6(host) ? host : address;
}
