import { isIP, SocketAddress } from 'node:net';
import { isHostName, splitAddress } from '../base/address.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Member } from '../proto/storage.ts';

const LOOPBACK_HOSTS = ['localhost', '127.0.0.1', '::1'] as const;

/** The given hosts and loopback, each once: what a certificate for them carries. */
export function withLoopback(hosts: readonly string[]): readonly string[] {
  return [...new Set([...hosts, ...LOOPBACK_HOSTS])];
}

/** That a certificate can be made for these hosts. @throws HoldfastError INVALID_ARGUMENT field `hosts` */
export function checkHosts(hosts: readonly string[]): void {
  const most = LIMITS.certificateNamesMax;
  if (hosts.length > most || withLoopback(hosts).length > most) {
    throw refused(
      `hosts names more than a certificate carries, which is ${most} with loopback`,
      'Leave some out: see the setting tls-san.',
    );
  }
  for (const host of hosts) {
    if (isCertificateName(host)) continue;
    throw refused(
      `${JSON.stringify(host)} in hosts is no host`,
      'Write a host name, or an IP address without brackets and zone.',
    );
  }
}

/** Who wants a certificate. */
export interface HostsOwner {
  readonly nodeId: string;
  /** What it says of itself as host:port, where the member table does not have it yet. */
  readonly advertised: readonly string[];
}

/**
 * That no host is where clients and nodes expect another member: who certifies it could pass for that one. Nodes on one
 * machine share what they advertise themselves; loopback is everybody's.
 * @throws HoldfastError INVALID_ARGUMENT field `hosts`
 */
export function refuseHostsOfOthers(
  hosts: readonly string[],
  { nodeId, advertised }: HostsOwner,
  members: readonly Member[],
): void {
  const own = members.filter((member) => member.nodeId === nodeId).flatMap(advertisedBy);
  const mine = new Set([...own, ...advertised].map(hostOf));
  const others = members.filter((member) => member.nodeId !== nodeId);
  for (const host of hosts.map(canonical)) {
    if (isLoopback(host) || mine.has(host)) continue;
    const owner = others.find((member) => advertisedBy(member).map(hostOf).includes(host));
    if (owner === undefined) continue;
    throw refused(
      `hosts names ${host}, where member ${owner.name} is reached`,
      'Take it out of tls-san and the listening addresses, or advertise it; remove that member if it is gone.',
    );
  }
}

function advertisedBy({ peerAddress, apiAddress }: Member): readonly string[] {
  return [peerAddress, apiAddress];
}

function hostOf(address: string): string {
  return canonical(splitAddress(address)?.host ?? address);
}

/** As those compare who verify certificates: whatever the case, and an IPv6 address however it is written. */
function canonical(host: string): string {
  if (isIP(host) !== 6) return host.toLowerCase();
  return new SocketAddress({ address: host, family: 'ipv6' }).address;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Zones (`fe80::1%eth0`) mean something on one machine only, and have no form in a certificate. */
export function isCertificateName(host: string): boolean {
  return isHostName(host) || (isIP(host) !== 0 && !host.includes('%'));
}

function refused(message: string, hint: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', message, { field: 'hosts', hint });
}
