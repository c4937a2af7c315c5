import type { NodeConfiguration } from './configuration.ts';
import { isWildcard } from './settings.ts';

const LOOPBACK_HOSTS = ['localhost', '127.0.0.1', '::1'] as const;

/**
 * The names that a node's certificate carries: where it listens and is reached, what the operator added, and
 * loopback, since the identity is in the URI name and a published port is dialled at localhost.
 */
export function certificateHosts(
  configuration: Pick<
    NodeConfiguration,
    'listenApi' | 'listenPeer' | 'advertiseApi' | 'advertisePeer' | 'tlsSan'
  >,
): readonly string[] {
  const { listenApi, listenPeer, advertiseApi, advertisePeer, tlsSan } = configuration;
  const addresses = [listenApi, listenPeer, advertiseApi, advertisePeer].filter(
    (address) => !isWildcard(address),
  );
  return withLoopback([...addresses.map(({ host }) => host), ...tlsSan]);
}

/** The given hosts and loopback, each once. */
export function withLoopback(hosts: readonly string[]): readonly string[] {
  return [...new Set([...hosts, ...LOOPBACK_HOSTS])];
}
